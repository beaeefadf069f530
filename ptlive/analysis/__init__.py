"""Answers made from walks: regions, and what is to come beside them."""
