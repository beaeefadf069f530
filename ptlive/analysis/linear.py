"""Reading by linear addresses: bytes as a CPU with this root would see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.translate import translate

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Memory
    from ptlive.paging.format import Format

_PIECE = 1 << 12  # no page is smaller
# So many pieces are asked for at once: where the first is missing, not much was in vain.
_AT_ONCE = 1 << 10


def read_linear(fmt: Format, memory: Memory, root: U64, va: int, length: int) -> bytes:
    """Return the bytes from `va` on; fewer where a page is not mapped, or lies in no memory.

    root: uint64[fmt.roots]. Behind the last address of all comes the first one.
    """
    data = bytearray()
    while len(data) < length:
        at = (va + len(data)) % (1 << 64)
        head = min(length - len(data), _PIECE - at % _PIECE)
        if head < _PIECE:
            pieces, size = np.array([at], dtype=np.uint64), head
        else:
            count = min((length - len(data)) // _PIECE, _AT_ONCE)
            pieces, size = np.arange(count, dtype=np.uint64) * np.uint64(_PIECE), _PIECE
            pieces += np.uint64(at)  # wraps, as addresses do
        found = translate(fmt, memory, root, pieces)
        usable = _before_false(found.mapped)
        rows, valid = memory.read(found.pa[:usable], size)
        held = _before_false(valid)
        data += rows[:held].tobytes()
        if held < len(pieces):
            break
    return bytes(data)


def _before_false(flags: Bool) -> int:
    """Return how many are true before the first that is not."""
    wrong = np.flatnonzero(~flags)
    return int(wrong[0]) if wrong.size else len(flags)
