"""Symbols from a System.map, or a saved /proc/kallsyms."""

from __future__ import annotations

import re

import numpy as np

from ptlive.analysis.symbols.table import LOWEST, Symbols
from ptlive.errors import PtliveError

# A System.map of a kernel with everything built in has some 20M.
TEXT_LIMIT = 1 << 28

_LINE = re.compile(rb"^([0-9a-fA-F]{8,16}) ([A-Za-z?-]) (\S+)(?:[ \t]+(\[\S+\]))?[ \t]*$", re.M)


def parse_text(data: bytes, what: str) -> Symbols:
    """Read a System.map, or what /proc/kallsyms had. Raises PtliveError, naming it `what`."""
    found = [match.groups() for match in _LINE.finditer(data)]
    if not found:
        raise PtliveError(
            f"{what} is neither a vmlinux nor a list of symbols "
            "(Debian keeps the real System.map in the kernel's -dbg package)"
        )
    values = np.array([int(value, 16) for value, _, _, _ in found], dtype=np.uint64)
    if not values.any():
        raise PtliveError(
            f"all addresses in {what} are zero: kallsyms hides them from all but root "
            "(kernel.kptr_restrict)"
        )
    names = [
        (name + b" " + module if module else name).decode("ascii", "backslashreplace")
        for _, _, name, module in found
    ]
    by_name: dict[str, list[int]] = {}
    for name, value in zip(names, values.tolist(), strict=True):
        by_name.setdefault(name, []).append(value)
    rows = np.flatnonzero(values >= np.uint64(LOWEST))
    rows = rows[np.argsort(values[rows], kind="stable")]
    return Symbols(
        "list of symbols",
        values[rows],
        lambda row: names[rows[row]],
        lambda name: by_name.get(name, []),
    )
