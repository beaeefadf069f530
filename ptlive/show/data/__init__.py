"""Leaves as a table for other programs: Parquet, Arrow, CSV. Its columns are in README.md."""
