"""The default CAD dataset, made by us: many variants of things from house, workshop, zoo, harbour and street.

A class is a builder (generator -> Mesh) and a line in `CLASSES`; builders of things in a street are city's.
"""
