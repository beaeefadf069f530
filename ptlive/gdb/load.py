"""`source` this file in gdb: it loads ptlive, wherever that is installed."""

import pathlib
import sys

import gdb

# The parent of the package `ptlive`: the top of a checkout, or a site-packages. In a file that
# a Python script of the user has sourced, `__file__` is that script.
sys.path.append(str(pathlib.Path(sys._getframe().f_code.co_filename).resolve().parents[2]))

try:
    import ptlive.gdb  # noqa: F401 - it is found by the line above
except gdb.GdbError as error:
    gdb.write(f"{error}\n", gdb.STDERR)
