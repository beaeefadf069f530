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


def register() -> tuple[list[str], list[str]]:
    """Make them known to gdb; return which, and which are taken already."""
    made, taken = [], []
    for name, command in ALIASES.items():
        if name in gdb.execute(f"complete {name}", to_string=True).split("\n"):
            taken.append(name)
        else:
            gdb.execute(f"alias -- {name} = {command}")
            made.append(name)
    return made, taken
