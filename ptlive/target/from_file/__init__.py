"""A guest that is a file, in place of one that is attached."""
