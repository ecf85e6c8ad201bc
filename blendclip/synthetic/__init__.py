"""Generators of driving datasets and CAD objects that know formats, and nothing of mining."""
