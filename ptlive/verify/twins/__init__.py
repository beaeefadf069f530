"""Copies of a guest are asked about everything, and what they answer is held against the walk."""
