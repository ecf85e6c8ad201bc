"""From the scene index to triplets. Knows no dataset by name, imports no devkit and no torch."""
