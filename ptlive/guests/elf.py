"""Where the names of an ELF file are, of one of 32 or 64 bits.

The symbols are looked at as one array: a vmlinux has 200,000.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MAGIC = b"\x7fELF"
# System V ABI, chapter 4, "Symbol Table": the same fields, in another order.
_SYMBOL = {
    32: np.dtype(
        [("name", "<u4"), ("value", "<u4"), ("size", "<u4"), ("info", "u1"), ("other", "u1"),
         ("section", "<u2")]
    ),
    64: np.dtype(
        [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
         ("size", "<u8")]
    ),
}  # fmt: skip
_UNDEFINED, _LOCAL = 0, 0


def symbol(path: Path, name: str) -> int:
    """Return the address of a name. Raises PtliveError if the file does not tell it."""
    # A twentieth of a second, for this alone.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".symtab")
            if table is None:
                raise PtliveError(f"{path} has no symbols")
            names = elf.get_section(table["sh_link"]).data()
            found = _find(np.frombuffer(table.data(), _SYMBOL[elf.elfclass]), names, name)
    except OSError as error:
        raise PtliveError(f"cannot read {path}: {error.strerror}") from error
    except (ELFError, ValueError, KeyError, AttributeError, TypeError, struct.error) as error:
        raise PtliveError(f"{path} has no symbols: it is no whole ELF file") from error
    if not found:
        raise PtliveError(f"{path} has no symbol '{name}'")
    if len(found) > 1:
        places = ", ".join(f"{one:#x}" for one in sorted(found))
        raise PtliveError(f"{path} has '{name}' at {places}: name one by its address")
    return found.pop()


def _find(table: npt.NDArray[Any], names: bytes, name: str) -> set[int]:
    """Return where a name is: of globals, if there are, else of what is local to a file."""
    wanted, places, at = name.encode() + b"\0", [], -1
    while (at := names.find(wanted, at + 1)) >= 0:  # it may be the end of a longer one
        places.append(at)
    rows = table[np.isin(table["name"], places) & (table["section"] != _UNDEFINED)]
    known = rows[rows["info"] >> 4 != _LOCAL]
    return set((known if len(known) else rows)["value"].tolist())
