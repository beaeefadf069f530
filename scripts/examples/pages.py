#!/usr/bin/env python3
"""Ask exported pages the questions of pages.sql: `pages.py FILE.parquet` (pip install duckdb)."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

QUERIES = Path(__file__).with_name("pages.sql")


def answers(file: str) -> list[duckdb.DuckDBPyRelation]:
    """Return what each of the queries finds in a file."""
    text = QUERIES.read_text().replace("'pages.parquet'", "'" + file.replace("'", "''") + "'")
    found = (duckdb.sql(query) for query in text.split(";") if query.strip())
    return [one for one in found if one is not None]


if __name__ == "__main__":
    for answer in answers(sys.argv[1]):
        print(answer)
