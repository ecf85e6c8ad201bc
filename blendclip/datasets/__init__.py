"""Readers of foreign formats: driving datasets to scene indices, CAD datasets to triplets."""
