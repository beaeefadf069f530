"""Predictions held against observations."""
