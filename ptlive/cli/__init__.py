"""The command line: parse, call, show.

Each command is a module of its own, imported only when it is used, so that
`ptlive --help` costs nothing that it does not need.
"""

from ptlive.cli.main import main

__all__ = ["main"]
