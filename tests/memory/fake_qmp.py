"""QMP as far as reading memory uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.arrays import u64

if TYPE_CHECKING:
    from ptlive.arrays import Memory


class FakeQmp:
    """Writes files as QEMU does, where it is let; `elsewhere`, as in a container of its own."""

    def __init__(self, truth: Memory) -> None:
        self.truth = truth
        self.saved: list[tuple[int, int]] = []
        self.printed = 0
        self.elsewhere = False
        self.cut = False

    def command(self, name: str, **arguments: Any) -> object:
        assert name == "pmemsave"
        val, size = arguments["val"], arguments["size"]
        self.saved.append((val, size))
        if self.elsewhere:
            return {}
        # Read as QEMU reads: with zeros where nothing is.
        at = np.arange(val, val + size, 8, dtype=np.uint64)
        data, valid = self.truth.read(at, 8)
        assert valid.all(), "more than memory was read"
        path = Path(arguments["filename"])
        assert path.exists(), "its name cannot be guessed, so it must be there"
        path.write_bytes(data.tobytes()[: size - self.cut])
        return {}

    def human(self, line: str) -> str:
        self.printed += 1
        word, shape, address = line.split()
        assert (word, shape[0], shape[-2:]) == ("xp", "/", "gx")
        count, first = int(shape[1:-2]), int(address, 16)
        said = ""
        for at in range(first, first + 8 * count, 8):
            data, valid = self.truth.read(u64(at), 8)
            assert valid.all(), "more than memory was read"
            said += f"{at:016x}: " if at % 16 == first % 16 else " "
            said += f"{int(data.view('<u8')[0, 0]):#018x}"
            said += "\r\n" if at % 16 != first % 16 else ""
        return said
