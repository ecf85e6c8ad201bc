"""A projection check: pictures of a scene that show whether calibration, axes and times are right."""
