"""The prober's ELF file: its ROM, and the constants that it shares with its host."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import ptlive.guests
from ptlive.errors import PtliveError
from ptlive.guests import built

if TYPE_CHECKING:
    from collections.abc import Mapping

ELF = Path(ptlive.guests.__file__).with_name("prober.elf")
_SOURCE = ELF.parents[2] / "guest"
ROM_SIZE = 1 << 16


@dataclass(frozen=True)
class Prober:
    """The prober as built.

    rom: ROM_SIZE bytes that end at 4 GB, yet to be patched; symbols: addresses of
    its global labels, and the values of its constants (guest/prober/layout.h)
    """

    rom: bytes
    symbols: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.symbols[name]

    @functools.cached_property
    def answer(self) -> np.dtype[np.void]:
        """How an answer lies in memory."""
        return np.dtype(
            {
                "names": ["vector", "error_code", "value"],
                "formats": ["<u4", "<u4", "<u8"],
                "offsets": [self[f"ANSWER_{name}"] for name in ("VECTOR", "ERROR", "VALUE")],
                "itemsize": self["ANSWER_SIZE"],
            }
        )

    @functools.cached_property
    def step_fields(self) -> dict[str, int]:
        """Which of its words each field of a step is."""
        names = ("CODE", "COUNT", *"ABCDEF")
        return {name: self[f"STEP_{name}"] // 8 for name in names}

    def patched(self, *, cr4: int, extra: int, entries: Mapping[int, int]) -> bytes:
        """Return the ROM for one twin.

        cr4: its first value, with or without LA57; extra: where the extra RAM is;
        entries: of the root table with which it starts
        """
        rom = bytearray(self.rom)

        def put(address: int, value: int, length: int = 8) -> None:
            at = address - self["rom_start"]
            rom[at : at + length] = value.to_bytes(length, "little")

        put(self["boot_cr4"], cr4, 4)
        put(self["boot_extra"], extra)
        for index, entry in entries.items():
            put(self["boot_root"] + 8 * index, entry)
        return bytes(rom)


def load(path: Path | None = None) -> Prober:
    """Return the prober of this installation, or of another file.

    In a source checkout it is built if need be. Raises PtliveError when it is missing
    or not what it should be.
    """
    return _load(path or built.provide(ELF, "the twins' prober", _SOURCE, lambda _: None))


@functools.cache
def _load(path: Path) -> Prober:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            rom = b"".join(part.data() for part in elf.iter_segments("PT_LOAD"))
            table = elf.get_section_by_name(".symtab")
            symbols = {
                symbol.name: int(symbol["st_value"])
                for symbol in (
                    table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
                )
                if symbol["st_info"]["bind"] == "STB_GLOBAL"
            }
    except FileNotFoundError:
        raise PtliveError(
            f"{path} is missing: scripts/setup builds it, and a wheel carries it"
        ) from None
    except (OSError, ELFError) as error:
        raise PtliveError(f"{path} is not the prober: {error}") from error
    if len(rom) != ROM_SIZE or "boot_root" not in symbols:
        raise PtliveError(f"{path} is not the prober: it has no ROM of 64 KB, or no symbols")
    return Prober(rom, symbols)
