"""A disk that Linux can swap to, as mkswap(8) prepares it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = 4096
# union swap_header of Linux, include/linux/swap.h: 1024 bytes for a boot loader, then version,
# last page and number of bad pages; the magic ends the first page.
_MAGIC = b"SWAPSPACE2"


def create(path: Path, size: int) -> None:
    """Make a file of `size` bytes, which takes no space on the disk before it is swapped to."""
    with open(path, "xb") as file:
        file.truncate(size)
        file.seek(1024)
        file.write(struct.pack("<III", 1, size // _PAGE - 1, 0))
        file.seek(_PAGE - len(_MAGIC))
        file.write(_MAGIC)
