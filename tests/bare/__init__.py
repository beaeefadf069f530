"""Guests of other architectures: what their own MMU said, held against ptlive."""
