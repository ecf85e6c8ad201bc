"""A page that shows a sweep with its named boxes, and their clouds beside."""
