"""`source` this file in gdb: it loads ptlive, wherever that is installed."""

import pathlib
import sys

# The parent of the package `ptlive`: the top of a checkout, or a site-packages.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))

import ptlive.gdb  # noqa: F401 - it is found by the line above
