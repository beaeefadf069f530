"""Regions: neighbouring pages of equal rights and attributes, merged; and what repeats, folded."""
