"""Snapshots: what is known of a stopped guest, and frames of its memory, in one file.

The format is described byte by byte in README.md beside this.
"""
