"""Reading by linear addresses: bytes as a CPU with this root would see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.translate import translate

if TYPE_CHECKING:
    from ptlive.arrays import U64, Memory
    from ptlive.paging.format import Format

_PIECE = 1 << 12  # no page is smaller


def read_linear(fmt: Format, memory: Memory, root: U64, va: int, length: int) -> bytes:
    """Return the bytes from `va` on; fewer where a page is not mapped, or lies in no memory.

    root: uint64[fmt.roots]
    """
    data = b""
    while len(data) < length:
        at = (va + len(data)) % (1 << 64)
        found = translate(fmt, memory, root, np.array([at], dtype=np.uint64))
        if not found.mapped[0]:
            break
        piece, valid = memory.read(found.pa, min(length - len(data), _PIECE - at % _PIECE))
        if not valid[0]:
            break
        data += piece[0].tobytes()
    return data
