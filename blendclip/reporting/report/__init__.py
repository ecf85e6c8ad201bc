"""The report: one page with tables and figures on what runs reach on benchmarks."""
