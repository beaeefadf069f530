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
    32: np.dtype([("name", "<u4"), ("value", "<u4"), ("rest", "V6"), ("section", "<u2")]),
    64: np.dtype(
        [("name", "<u4"), ("rest", "V2"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
    ),
}
_UNDEFINED = 0


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
    if found is None:
        raise PtliveError(f"{path} has no symbol '{name}'")
    return found


def _find(table: npt.NDArray[Any], names: bytes, name: str) -> int | None:
    """Look for a name, which may be the end of a longer one."""
    wanted, places, at = name.encode() + b"\0", [], -1
    while (at := names.find(wanted, at + 1)) >= 0:
        places.append(at)
    rows = table[np.isin(table["name"], places) & (table["section"] != _UNDEFINED)]
    return int(rows["value"][0]) if len(rows) else None
