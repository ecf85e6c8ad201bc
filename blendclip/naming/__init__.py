"""Naming objects with a trained model: cloud files, box crops, detections, tables of predictions, search, pages."""
