"""Answers made from walks, of every root and of any system; each is a file or a folder."""
