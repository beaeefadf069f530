"""`source` this file in gdb: it loads ptlive, wherever that is installed."""

import pathlib
import sys

# The parent of the package `ptlive`: the top of a checkout, or a site-packages. In a file that
# a Python script of the user has sourced, `__file__` is that script.
sys.path.append(str(pathlib.Path(sys._getframe().f_code.co_filename).resolve().parents[2]))

import ptlive.gdb  # noqa: F401 - it is found by the line above
