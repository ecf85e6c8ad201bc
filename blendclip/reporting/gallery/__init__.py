"""The gallery of the report: triplets and predictions of runs, with clouds that turn in the page."""
