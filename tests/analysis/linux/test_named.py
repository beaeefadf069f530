"""A Linux whose symbols are at hand: moved, of another kernel, with variables that say more."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.symbols.elf import parse_elf
from ptlive.analysis.symbols.text import parse_text
from ptlive.analysis.systems import detect, with_symbols
from ptlive.errors import PtliveError
from tests.analysis.linux.made import IMAGE, IMAGE_PA, M, MadeLinux
from tests.analysis.symbols.elf_file import ALLOC, PROGBITS, Part, elf
from tests.paging.plain_ram import PlainRam

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile
    from ptlive.analysis.symbols.table import Symbols
    from ptlive.arrays import U8, U64, Bool

SLIDE = 74 * M
BANNER = b"Linux version 6.1.0-made (nobody) #1\n\0"
SYMBOLS = {
    "_text": IMAGE,
    "_stext": IMAGE,
    "schedule": IMAGE + 0x12340,
    "_etext": IMAGE + 4 * M - 0x123,
    "__start_rodata": IMAGE + 6 * M,
    "linux_banner": IMAGE + 6 * M + 0x40,
    "page_offset_base": IMAGE + 6 * M + 0x1000,
    "vmalloc_base": IMAGE + 6 * M + 0x1008,
    "vmemmap_base": IMAGE + 6 * M + 0x1010,
    "__per_cpu_offset": IMAGE + 6 * M + 0x2000,
    "nr_cpu_ids": IMAGE + 6 * M + 0x3000,
    "__end_rodata": IMAGE + 10 * M,
    "_sdata": IMAGE + 10 * M,
    "_edata": IMAGE + 12 * M,
    "__bss_start": IMAGE + 12 * M + 0x800,
    "__bss_stop": IMAGE + 13 * M,
    "_end": IMAGE + 16 * M,
    "__per_cpu_start": 0,
    "__per_cpu_end": 0x34000,
}


class Image:
    """The image's RAM beside that of the tables."""

    def __init__(self, made: MadeLinux) -> None:
        self.image = PlainRam(16 * M, IMAGE_PA)
        self.parts = (self.image, made.build.ram)

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        found = [part.read(addresses, length) for part in self.parts]
        valid = found[0][1] | found[1][1]
        return np.where(found[0][1][:, None], found[0][0], found[1][0]), valid

    def put(self, name: str, data: bytes) -> None:
        at = SYMBOLS[name] - IMAGE
        self.image.data[at : at + len(data)] = np.frombuffer(data, np.uint8)


class Kernel:
    """A made Linux, moved, with its banner and variables in RAM."""

    def __init__(self, levels: int = 5, slide: int = SLIDE) -> None:
        self.made = MadeLinux(levels, slide=slide)
        self.memory = Image(self.made)
        self.memory.put("linux_banner", BANNER)
        numbers = (self.made.direct, self.made.vmalloc, self.made.vmemmap)
        self.memory.put("page_offset_base", struct.pack("<QQQ", *numbers))
        self.memory.put("nr_cpu_ids", struct.pack("<I", 2))
        self.offsets = (self.made.direct + 32 * M, self.made.direct + 40 * M)
        self.memory.put("__per_cpu_offset", struct.pack("<QQ", *self.offsets))

    def named(self, symbols: Symbols) -> Profile:
        graph = self.made.walk()
        profile = detect(graph, self.memory, self.made.ends)
        assert profile is not None
        return with_symbols(profile, symbols, graph.fmt, self.memory, "FILE")


def listed(symbols: dict[str, int]) -> Symbols:
    return parse_text(b"".join(b"%016x T %s\n" % (v, n.encode()) for n, v in symbols.items()), "")


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("slide", [0, SLIDE])
def test_how_far_it_was_moved_is_found(levels: int, slide: int) -> None:
    profile = Kernel(levels, slide).named(listed(SYMBOLS))
    said = profile.evidence[-1]
    assert said.startswith(f"FILE: moved by {slide:#x}; " if slide else "FILE: not moved; ")
    assert "6.1.0-made" in said
    assert profile.name_of(IMAGE + slide + 0x12345) == "schedule+0x5"
    assert profile.name_of(IMAGE + slide) in ("_text", "_stext")
    assert profile.name_of(IMAGE + slide - 1) is None
    assert profile.name_of(IMAGE + slide + 16 * M) is None


def test_a_banner_may_cross_into_the_next_page() -> None:
    kernel = Kernel()
    moved = SYMBOLS | {"linux_banner": IMAGE + 6 * M + 0x4FF0}
    at = moved["linux_banner"] - IMAGE
    kernel.memory.image.data[at : at + len(BANNER)] = np.frombuffer(BANNER, np.uint8)
    assert "6.1.0-made" in kernel.named(listed(moved)).evidence[-1]


def test_parts_are_told_on_any_byte() -> None:
    parts = {part.name: part for part in Kernel().named(listed(SYMBOLS)).parts}
    moved = IMAGE + SLIDE
    assert (parts["text"].va, parts["text"].last_va) == (moved, moved + 4 * M - 0x124)
    assert parts["bss"].va == moved + 12 * M + 0x800


def test_each_cpu_has_its_variables() -> None:
    kernel = Kernel()
    profile = kernel.named(listed(SYMBOLS))
    found = [part for part in profile.parts if part.name.startswith("per-CPU")]
    assert [part.va for part in found] == list(kernel.offsets)
    assert profile.name_of(kernel.offsets[1] + 0x10) == "per-CPU, CPU 1+0x10"


def test_the_bases_are_held_against_the_kernels_own_variables() -> None:
    kernel = Kernel()
    areas = {area.name: area for area in kernel.named(listed(SYMBOLS)).areas}
    assert areas["vmalloc"].evidence.endswith("vmalloc_base says the same")
    kernel.memory.put("vmalloc_base", struct.pack("<Q", 0x1234))
    areas = {area.name: area for area in kernel.named(listed(SYMBOLS)).areas}
    assert areas["vmalloc"].evidence.endswith("but vmalloc_base is 0x1234")


@pytest.mark.parametrize(
    "moved",
    [{"__end_rodata": IMAGE + 10 * M - 0x1800}, {"__start_rodata": IMAGE + 6 * M + 0x1000}],
)
def test_pages_of_the_gaps_beside_rodata_may_be_read_only_too(moved: dict[str, int]) -> None:
    symbols = {name: va for name, va in (SYMBOLS | moved).items() if name != "linux_banner"}
    said = Kernel().named(listed(symbols)).evidence[-1]
    assert "it agrees with the text's end" in said
    assert "would be" not in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"linux_banner": IMAGE + 6 * M + 0x80}, "at linux_banner stands something else"),
        ({"linux_banner": 0, "_etext": IMAGE + 3 * M}, "_etext would be 0xffffffff85d00000"),
        ({"linux_banner": 0, "__start_rodata": IMAGE + 8 * M}, "where rodata begins"),
        ({"linux_banner": 0, "__end_rodata": IMAGE + 10 * M + 0x1000}, "rodata's end"),
        ({"linux_banner": 0, "__end_rodata": IMAGE + 8 * M}, "rodata's end"),
        ({"linux_banner": 0, "_text": IMAGE + 0x1000}, "no multiple of 2M"),
    ],
)
def test_symbols_of_another_kernel_are_refused(changes: dict[str, int], said: str) -> None:
    wrong = {name: value for name, value in (SYMBOLS | changes).items() if value or "_cpu" in name}
    with pytest.raises(PtliveError, match=f"FILE is of another kernel: .*{said}"):
        Kernel().named(listed(wrong))


def test_a_vmlinux_that_holds_another_banner_is_refused() -> None:
    at = SYMBOLS["linux_banner"]
    same = elf(SYMBOLS, (Part(".rodata", PROGBITS, ALLOC, at, BANNER.ljust(96, b"\0")),))
    profile = Kernel().named(parse_elf(io.BytesIO(same), ""))
    assert "banner" in profile.evidence[-1]
    assert [part.va for part in profile.parts if part.name == ".rodata"] == [at + SLIDE]
    other = elf(
        SYMBOLS,
        (Part(".rodata", PROGBITS, ALLOC, at, BANNER.replace(b"#1", b"#2").ljust(96, b"\0")),),
    )
    with pytest.raises(PtliveError, match="another kernel"):
        Kernel().named(parse_elf(io.BytesIO(other), ""))


def test_symbols_that_name_no_kernel() -> None:
    with pytest.raises(PtliveError, match="neither _text nor _stext"):
        Kernel().named(listed({"main": IMAGE}))


def test_symbols_that_show_nothing_are_used_and_that_is_said() -> None:
    profile = Kernel().named(listed({"_text": IMAGE, "schedule": IMAGE + 16}))
    assert "nothing shows that the symbols are this kernel's" in profile.evidence[-1]
    assert profile.name_of(IMAGE + SLIDE + 20) is None, "where the image ends is not known"


def test_modules_are_only_named_in_the_boot_that_was_listed() -> None:
    module = b"ffffffffc0005000 t probe\t[virtio]\n"
    lines = b"".join(
        b"%016x T %s\n" % (v + SLIDE, n.encode()) for n, v in SYMBOLS.items() if v >> 63
    )
    same = Kernel().named(parse_text(lines + module, ""))
    assert same.name_of(0xFFFF_FFFF_C000_5008) == "probe [virtio]+0x8"
    moved = Kernel(slide=SLIDE + 2 * M).named(parse_text(lines + module, ""))
    assert moved.name_of(0xFFFF_FFFF_C000_5008) is None
