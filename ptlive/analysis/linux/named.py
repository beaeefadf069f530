"""A Linux whose symbols are at hand: how far it was moved, whether they are its own, its parts.

What the symbols say is held against what the structure showed, and against the guest's
memory: those of another build would name everything wrongly, and look right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.linear import read_linear
from ptlive.analysis.linux.layout import FRAME, MODULES, MODULES_LAST
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.profile import Profile
    from ptlive.analysis.symbols.table import Symbols
    from ptlive.arrays import Memory
    from ptlive.paging.format import Format

# From arch/x86/kernel/vmlinux.lds.S and include/asm-generic/vmlinux.lds.h.
_PARTS = (
    ("text", "_text", "_etext"),
    ("rodata", "__start_rodata", "__end_rodata"),
    ("data", "_sdata", "_edata"),
    ("init, given back after boot", "__init_begin", "__init_end"),
    ("bss", "__bss_start", "__bss_stop"),
    ("brk", "__brk_base", "__brk_limit"),
)
# Variables that say where the randomised areas begin (arch/x86/kernel/head64.c).
_BASES = {
    "direct map": "page_offset_base",
    "vmalloc": "vmalloc_base",
    "vmemmap": "vmemmap_base",
}
# CONFIG_PHYSICAL_ALIGN: the image is moved by multiples of it.
_STEP = 1 << 21
# What is only read may reach beyond rodata, into the gaps that fill it up to 2M on either side:
# they are given back (mark_rodata_ro in arch/x86/mm/init_64.c), and where such a page becomes a
# module's or a BPF program's, set_memory_ro makes it read-only in the image, too
# (cpa_process_alias in arch/x86/mm/pat/set_memory.c).
_RODATA = "kernel rodata"
# The banner begins with the release, and after so many bytes the compiler is named.
_BANNER, _BEGINNING, _LENGTH = "linux_banner", b"Linux version ", 96
# NR_CPUS can be no more (CONFIG_MAXSMP).
_CPUS = 8192
# A module's function is no larger.
_FAR = 1 << 20


def with_symbols(
    profile: Profile, symbols: Symbols, fmt: Format, memory: Memory, what: str
) -> Profile:
    """Return a profile that knows names. what: how to call the file.

    Raises PtliveError if the symbols are not this kernel's.
    """
    text = _area(profile, "kernel text")
    linked = symbols.value("_text") or symbols.value("_stext")
    if linked is None:
        raise PtliveError(f"{what} names neither _text nor _stext: it is not of a kernel")
    if text is None:
        raise PtliveError(f"the kernel's text was not found, so {what} cannot be placed")
    slide = text.va - linked
    symbols = replace(symbols, slide=slide)
    guest = _Guest(fmt, memory, profile.root)
    told = _checked(profile, symbols, guest, what)
    moved = f"moved by {slide:#x}" if slide else "not moved"
    areas = tuple(_confirmed(area, symbols, guest) for area in profile.areas)
    parts = (*_image_parts(symbols), *_per_cpu(symbols, guest))
    return replace(
        profile,
        areas=areas,
        evidence=(*profile.evidence, f"{what}: {moved}; {told}"),
        parts=parts,
        name_of=_Namer(symbols, parts),
    )


class _Guest:
    """Reads the kernel's own addresses."""

    def __init__(self, fmt: Format, memory: Memory, root: int) -> None:
        self.fmt, self.memory = fmt, memory
        self.root = np.array([root], dtype=np.uint64)

    def read(self, va: int, length: int) -> bytes | None:
        """Read bytes; None if one of their pages is not there."""
        data = read_linear(self.fmt, self.memory, self.root, va, length)
        return data if len(data) == length else None

    def number(self, va: int | None, length: int = 8) -> int | None:
        """Read a number at an address, if there is one."""
        data = None if va is None else self.read(va, length)
        return None if data is None else int.from_bytes(data, "little")


def _checked(profile: Profile, symbols: Symbols, guest: _Guest, what: str) -> str:
    """Say what shows that the symbols are this kernel's; PtliveError if they are not."""
    wrong, right = [], []
    if symbols.slide % _STEP:
        wrong.append(f"its text would be moved by {symbols.slide:#x}, no multiple of 2M")
    for name, part, symbol, end in (
        ("the text's end", "kernel text", "_etext", True),
        ("where rodata begins", _RODATA, "__start_rodata", False),
        ("rodata's end", _RODATA, "__end_rodata", True),
    ):
        area, value = _area(profile, part), symbols.value(symbol)
        if area is None or value is None:
            continue
        found, said = area.last_va + 1 if end else area.va, -(-value // FRAME) * FRAME
        beyond = found - said if end else said - found
        if not beyond:
            right.append(name)
        elif part == _RODATA and 0 < beyond < _STEP:
            continue  # pages of the gap beside it, see _RODATA
        else:
            wrong.append(f"{symbol} would be {said:#x}, but {name} is {found:#x}")
    banner = _banner(symbols, guest)
    if banner is False:
        wrong.append(f"at {_BANNER} stands something else")
    elif banner:
        right.append(f"the guest's banner ({banner})")
    if banner is False or (wrong and not banner):
        raise PtliveError(f"{what} is of another kernel: {'; '.join(wrong)}")
    if not right:
        return "nothing shows that the symbols are this kernel's"
    return "; ".join([f"it agrees with {', '.join(right)}", *wrong])


def _banner(symbols: Symbols, guest: _Guest) -> str | bool | None:
    """Return the release in the guest's banner, False if it is not there, None if unknown."""
    va = symbols.value(_BANNER)
    if va is None:
        return None
    there = guest.read(va, _LENGTH)
    if there is None:
        return None
    if not there.startswith(_BEGINNING):
        return False
    held = symbols.contents(va - symbols.slide, _LENGTH) if symbols.contents else b""
    if held and held != there:
        return False
    words = there.removeprefix(_BEGINNING).split(b" ")[0]
    return words.decode("ascii", "backslashreplace")


def _confirmed(area: Area, symbols: Symbols, guest: _Guest) -> Area:
    """Hold an area's base against the kernel's own variable."""
    name = _BASES.get(area.name)
    value = guest.number(symbols.value(name)) if name else None
    if value is None or name is None:
        return area
    if value == area.va:
        return area._replace(evidence=f"{area.evidence}; {name} says the same")
    return area._replace(evidence=f"{area.evidence}; but {name} is {value:#x}")


def _image_parts(symbols: Symbols) -> Iterator[Area]:
    for name, first, end in _PARTS:
        va, behind = symbols.value(first), symbols.value(end)
        if va is not None and behind is not None and va < behind:
            yield Area(va, behind - 1, name, f"{first}..{end}")
    for section in symbols.sections:
        ends = section.va + symbols.slide, section.last_va + symbols.slide
        yield Area(*ends, section.name, "section of the vmlinux")


def _per_cpu(symbols: Symbols, guest: _Guest) -> Iterator[Area]:
    """Yield each CPU's variables: they are linked at 0, and an array says where they are."""
    first, end = (symbols.find(name) for name in ("__per_cpu_start", "__per_cpu_end"))
    array, cpus = symbols.value("__per_cpu_offset"), guest.number(symbols.value("nr_cpu_ids"), 4)
    if not first or not end or array is None or cpus is None or first[0] >= end[0]:
        return
    for cpu in range(min(cpus, _CPUS)):
        offset = guest.number(array + 8 * cpu)
        va = None if offset is None else (first[0] + offset) % (1 << 64)
        if va is not None and va >> 63:
            told = f"__per_cpu_offset[{cpu}]"
            yield Area(va, va + end[0] - first[0] - 1, f"per-CPU, CPU {cpu}", told)


class _Namer:
    """Names an address by its symbol."""

    def __init__(self, symbols: Symbols, parts: tuple[Area, ...]) -> None:
        self.symbols = symbols
        self.first = symbols.value("_text") or symbols.value("_stext") or 0
        self.end = symbols.value("_end") or max((p.last_va for p in parts), default=0)
        self.per_cpu = [part for part in parts if part.name.startswith("per-CPU")]

    def __call__(self, va: int) -> str | None:
        for part in self.per_cpu:
            if part.va <= va <= part.last_va:
                return f"{part.name}+{va - part.va:#x}"
        found = self.symbols.at(va)
        if found is None:
            return None
        name, behind = found
        # Modules are somewhere else after each boot.
        module = MODULES <= va <= MODULES_LAST and not self.symbols.slide and behind < _FAR
        if not (self.first <= va < self.end or (module and name.endswith("]"))):
            return None
        return f"{name}+{behind:#x}" if behind else name


def _area(profile: Profile, name: str) -> Area | None:
    return next((area for area in profile.areas if area.name == name), None)
