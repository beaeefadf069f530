"""One file for each format: data, and a few small operations on entries."""
