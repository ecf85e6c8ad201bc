"""Driving datasets in the formats of nuScenes and MAN TruckScenes, to scene indices."""
