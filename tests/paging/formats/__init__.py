"""Tests of ptlive.paging.formats."""
