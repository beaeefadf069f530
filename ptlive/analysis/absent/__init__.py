"""Entries that are not present: how many, and what a profile says they mean."""
