"""The projection check: drawings of a scene that show whether calibration, axes and times are right."""
