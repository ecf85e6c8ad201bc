"""Figures, tables and drawings of what was made; may import mining, which never imports this room."""
