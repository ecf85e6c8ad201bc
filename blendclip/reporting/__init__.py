"""Pictures and tables of what was made; may look into mining, which never looks here."""
