"""Procedural meshes of what is found in a street, for both generators."""
