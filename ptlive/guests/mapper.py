"""What the Linux guest's `mapper` (guest/linux/) is to map, as its user orders it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests import built

if TYPE_CHECKING:
    from collections.abc import Callable

ELF = Path(__file__).with_name("mapper.elf")
_SOURCE = ELF.parents[2] / "guest"

# Kind: (how many by default, at most), as in guest/linux/mapper.c.
KINDS = {
    "shared": (3, 64),
    "huge1g": (1, 64),
    "huge2m": (4, 4096),
    "folded": (4, 4096),
    "thp": (4, 4096),
    "high": (5, 512),
    "scattered": (4096, 4_000_000),
    "zero": (4, 512),
    "none": (4, 512),
    "ro": (4, 512),
    "wx": (4, 512),
    "xonly": (4, 512),
    "keys": (4, 15),
    "swap": (8, 4096),
}
# A page of 1G takes more memory than all others together: it is mapped when it is named.
_NOT_IN_ALL = "huge1g"
_SETTINGS = {"stride": (8, 1, 1 << 18), "frames": (32768, 4096, 4_000_000)}
_PARKS = ("spin", "sleep")

# As in guest/linux/folded.c.
_FOLDED_PAGES = 8
# What Linux with its initramfs leaves free of 512 MB is more than 320 MB.
_USUAL, _FREE = 512 << 20, 320 << 20
_DISK = 64 << 20


@dataclass(frozen=True)
class Order:
    """The kinds that are wanted and how many of each, the settings, and how it is to wait."""

    counts: dict[str, int]
    settings: dict[str, int]
    park: str = "spin"

    @property
    def text(self) -> str:
        """The mapper's argument, one word for a shell and for the kernel's command line."""
        numbers = [f"{name}={number}" for name, number in (self.counts | self.settings).items()]
        return ",".join([*numbers, f"park={self.park}"])

    @property
    def memory(self) -> int:
        """Bytes of RAM with which the guest can make all of it."""
        scattered, stride = self.counts.get("scattered", 0), self.settings.get("stride", 8)
        kept = min(scattered, self.settings.get("frames", 32768))
        tables = scattered // max(512 // stride, 1)
        taken = (kept + tables) << 12
        folded = _FOLDED_PAGES if "folded" in self.counts else 0
        taken += (self.counts.get("thp", 0) + self.counts.get("huge2m", 0) + folded) << 21
        rest = max(_USUAL, _USUAL - _FREE + taken + (32 << 20))
        giant = self.counts.get("huge1g", 0)
        # Such a page is aligned, and neither the first gigabyte nor the last part can be one.
        return (((giant + 1) << 30) if giant else 0) + -(-rest >> 26 << 26)

    @property
    def parameters(self) -> str:
        """What the kernel has to be told at boot: memory for pages of 1G is set apart then."""
        giant = self.counts.get("huge1g", 0)
        return f"hugepagesz=1G hugepages={giant}" if giant else ""

    @property
    def swap(self) -> int:
        """The size of a disk to swap to, in bytes."""
        return _DISK if "swap" in self.counts else 0

    @property
    def seconds(self) -> float:
        """How much longer the boot may take; TCG on a busy computer is slow."""
        return 30 + self.counts.get("scattered", 0) / 5000 + self.counts.get("folded", 0) / 50


def parse_order(text: str) -> Order:
    """Read words such as `thp=4,keys,scattered=100000`; `all` is each kind but huge1g.

    Raises PtliveError, with the words that there are, for others.
    """
    counts: dict[str, int] = {}
    settings: dict[str, int] = {}
    park = "spin"
    for word in text.replace(" ", ",").split(","):
        name, equals, value = word.partition("=")
        if word == "all":
            usual = {kind: most[0] for kind, most in KINDS.items() if kind != _NOT_IN_ALL}
            counts = usual | counts
        elif name in KINDS:
            most = KINDS[name][1]
            counts[name] = _number(word, value, 1, most) if equals else KINDS[name][0]
        elif name in _SETTINGS:
            settings[name] = _number(word, value, *_SETTINGS[name][1:])
        elif name == "park" and value in _PARKS:
            park = value
        elif word:
            known = ", ".join(["all", *KINDS, *_SETTINGS, *(f"park={how}" for how in _PARKS)])
            raise PtliveError(f"'{word}' is nothing that the Linux guest maps: there are {known}")
    if not counts:
        raise PtliveError("nothing to map is named: give all, or kinds such as thp=4,keys")
    return Order({kind: counts[kind] for kind in KINDS if kind in counts}, settings, park)


def _number(word: str, value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and least <= int(value[:20]) <= most):
        raise PtliveError(f"'{word}' takes a number from {least} to {most}")
    return int(value)


def provide(progress: Callable[[str], None]) -> bytes:
    """Return the program, built if need be. Raises PtliveError where that cannot be."""
    return built.provide(ELF, "the Linux guest's mapper", _SOURCE, progress).read_bytes()
