"""Benchmarks: labelled clouds of any source in one Parquet, with the classes to choose from."""
