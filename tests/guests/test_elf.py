"""Symbols of ELF files, as nm(1) has them."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.guests.elf import symbol

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
.globl start, the_start
.text
.long missing
start: nop
nop
the_start: nop
local: nop
"""


def linked(folder: Path, bits: int) -> Path:
    """Return an ELF file; one name in it is the end of another one."""
    (folder / "other.s").write_text("nop\nlocal: nop\nstart: nop\n")
    (folder / "one.s").write_text(SOURCE)
    for name in ("one", "other"):
        command = ["as", f"--{bits}", "-o", str(folder / f"{name}.o"), str(folder / f"{name}.s")]
        subprocess.run(command, check=True)
    mode = {32: "elf_i386", 64: "elf_x86_64"}[bits]
    command = ["ld", "-m", mode, "-r", "-o", "elf", "one.o", "other.o"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "elf"


@pytest.mark.parametrize("bits", [32, 64])
def test_names_are_where_nm_says(tmp_path: Path, bits: int) -> None:
    elf = linked(tmp_path, bits)
    places = defaultdict(list)
    for line in subprocess.check_output(["nm", str(elf)], text=True).splitlines():
        *place, kind, name = line.split()
        places[name].append((kind, int(place[0], 16) if place else None))
    # A global name hides those that are local to files.
    assert sorted(kind for kind, _ in places["start"]) == ["T", "t"]
    assert symbol(elf, "start") == dict(places["start"])["T"]
    assert [("T", symbol(elf, "the_start"))] == places["the_start"]
    first, second = sorted(place or 0 for _, place in places["local"])
    with pytest.raises(PtliveError) as raised:
        symbol(elf, "local")
    assert str(raised.value) == (
        f"{elf} has 'local' at {first:#x}, {second:#x}: name one by its address"
    )
    for name in ("missing", "art", "nowhere"):
        with pytest.raises(PtliveError, match=f"elf has no symbol '{name}'"):
            symbol(elf, name)


def test_what_has_no_symbols_is_told(tmp_path: Path) -> None:
    elf = linked(tmp_path, 64)
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "--strip-all", "-o", str(stripped), str(elf)], check=True)
    with pytest.raises(PtliveError, match=r"stripped has no symbols$"):
        symbol(stripped, "start")
    whole = elf.read_bytes()
    for length in (0, 10, 64, len(whole) // 2):
        elf.write_bytes(whole[:length])
        with pytest.raises(PtliveError, match="elf has no symbols: it is no whole ELF file"):
            symbol(elf, "start")
    elf.unlink()
    with pytest.raises(PtliveError, match=r"cannot read .*elf: No such file or directory"):
        symbol(elf, "start")
