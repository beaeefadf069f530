"""Tests of ptlive.paging: the walker held against scalar walks that share nothing with it."""
