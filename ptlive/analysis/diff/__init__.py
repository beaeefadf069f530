"""What is different between two address spaces, in regions, at the cost of their tables."""
