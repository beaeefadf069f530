"""Short names that people's fingers know from other extensions, where those have not taken them."""

from __future__ import annotations

import gdb

#: The name and what it stands for here. In pwndbg and in gef the first shows the walk of one
#: address, v2p its physical address, p2v the virtual ones of a physical.
ALIASES = {
    "pagewalk": "ptlive translate",
    "v2p": "ptlive translate",
    "p2v": "ptlive find",
}


def register() -> dict[str, str]:
    """Make them known to gdb; return those that somebody else has."""
    taken = {}
    for name, command in ALIASES.items():
        if name in gdb.execute(f"complete {name}", to_string=True).split("\n"):
            taken[name] = command
        else:
            gdb.execute(f"alias -- {name} = {command}")
    return taken
