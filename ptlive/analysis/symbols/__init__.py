"""Symbols from files of strangers: what is no such file, or is cut off, ends in one sentence."""
