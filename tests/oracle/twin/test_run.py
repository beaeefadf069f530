"""A twin that does not come to its end, and what cannot be forked; and nothing is left behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.twin import prober
from ptlive.oracle.twin.fork import Control
from ptlive.oracle.twin.run import command_line, run
from ptlive.oracle.twin.script import CopyFrames, Peek, Poke, Probe, SetControl
from tests.oracle.twin.hand_made import GB, LONG_MODE, MB, HandMade, hand_made

READ = ACCESS_KINDS["supervisor-read"]
WRITE = ACCESS_KINDS["supervisor-write"]


@pytest.fixture
def guest(tmp_path: Path) -> HandMade:
    return hand_made(tmp_path, {})


def pretend(folder: Path, script: str) -> str:
    """Return the path of a program that behaves like a failing QEMU."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", "the twin was killed by signal 9"),
        ("exit 0", "its CPU shut down"),
        ("exit 35", "the prober was stopped by an exception: vector 0, "),
        ("echo first >&2; echo 'no such cpu' >&2; exit 1", "status 1; its last words: no such cpu"),
        ("exit 1", "its last words: none"),
        ("exec sleep 60", r"the twin was not done after 0\.3 s"),
    ],
)
def test_another_end_is_told_in_one_sentence(
    script: str, message: str, guest: HandMade, tmp_path: Path
) -> None:
    fork = replace(guest.fork(), qemu=pretend(tmp_path, script))
    files = len(os.listdir("/proc/self/fd"))
    seconds = 0.3 if "sleep" in script else 20.0
    with pytest.raises(PtliveError, match=message) as caught:
        run(fork, [], seconds=seconds)
    assert "\n" not in str(caught.value)
    del caught  # its traceback keeps the memory that the twin shared
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    assert len(os.listdir("/proc/self/fd")) == files


def test_without_qemu_it_says_so(guest: HandMade, tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"the twin ended with status 127; .*no-such-qemu"):
        run(replace(guest.fork(), qemu=str(tmp_path / "no-such-qemu")), [])


def test_ram_that_cannot_be_read_is_named(guest: HandMade, tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"cannot read the guest's RAM at .*gone: No such file"):
        run(replace(guest.fork(), ram=str(tmp_path / "gone")), [])
    with pytest.raises(PtliveError, match="has 4194304 bytes, the guest's RAM 8388608"):
        run(replace(guest.fork(), size=8 * MB, low_ram=8 * MB), [])


def test_a_prober_that_is_missing_or_another_file_is_named(guest: HandMade, tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="is missing: scripts/setup builds it"):
        run(guest.fork(), [], elf=tmp_path / "prober.elf")
    (tmp_path / "prober.elf").write_bytes(b"\x7fELF no")
    with pytest.raises(PtliveError, match="is not the prober: "):
        run(guest.fork(), [], elf=tmp_path / "prober.elf")
    (tmp_path / "other.elf").write_bytes(Path(prober.ELF.with_name("menu.elf")).read_bytes())
    with pytest.raises(PtliveError, match="is not the prober: it has no ROM"):
        run(guest.fork(), [], elf=tmp_path / "other.elf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cr0": 1}, "64-bit paging only"),
        ({"cr4": 0}, "64-bit paging only"),
        ({"efer": 0}, "64-bit paging only"),
        ({"cr4": LONG_MODE.cr4 | 1 << 23}, "does not model CET"),
        ({"cr4": LONG_MODE.cr4 | 1 << 24}, "does not model PKS"),
        ({"cr4": LONG_MODE.cr4 | 1 << 28}, "does not model LAM"),
    ],
)
def test_a_mode_that_is_not_modelled_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(PtliveError, match=message):
        replace(LONG_MODE, **change)


def test_a_fork_that_cannot_be_is_refused(guest: HandMade) -> None:
    with pytest.raises(PtliveError, match="the root table at 0x400000 lies outside"):
        guest.fork(root=4 * MB)
    with pytest.raises(PtliveError, match="LAM"):
        guest.fork(root=1 << 62 | 0x1000)
    with pytest.raises(PtliveError, match="no accelerator 'hvf'"):
        replace(guest.fork(), accel="hvf")
    for low in (0, 5 * MB):
        with pytest.raises(PtliveError, match="some lies below 4 GB"):
            replace(guest.fork(), low_ram=low)
    assert guest.fork(root=0x1FFF).root_frame == 0x1000, "PCID and flags are not the address"


def test_steps_stay_in_the_guests_ram(guest: HandMade) -> None:
    outside = u64(0x1000, 4 * MB)
    for step, what in (
        (Poke(outside, outside), "written"),
        (Peek(outside), "read"),
        (CopyFrames(outside), "read"),
        (Probe(WRITE, outside, outside), "a write's home"),
    ):
        with pytest.raises(PtliveError, match=f"0x400000 cannot be {what}: "):
            run(guest.fork(), [step])


def test_what_one_twin_cannot_do_is_refused(guest: HandMade) -> None:
    la57 = Control(cr0=LONG_MODE.cr0, cr4=LONG_MODE.cr4 | 1 << 12, efer=LONG_MODE.efer)
    with pytest.raises(PtliveError, match="number of levels"):
        run(guest.fork(), [SetControl(la57)])
    root = np.arange(0x1000, 0x2000, 8, dtype=np.uint64)
    with pytest.raises(PtliveError, match="nothing to borrow"):
        run(guest.fork(), [Poke(root, root)])
    many = np.broadcast_to(np.uint64(0), 1 << 28)
    with pytest.raises(PtliveError, match="too much for one twin"):
        run(guest.fork(), [Peek(many)])


@pytest.mark.parametrize(
    ("size", "low", "limit"),
    [(4 * MB, 4 * MB, 4 * GB), (5 * GB, 3 * GB, 3 * GB), (4 * GB, 2 * GB, 2 * GB)],
)
def test_ram_is_split_as_the_guests(size: int, low: int, limit: int, guest: HandMade) -> None:
    fork = replace(guest.fork(), size=size, low_ram=low, machine="q35", accel="kvm", cpu="host")
    file = prober.load()
    line = command_line(fork, file, ram=7, extra=8, extra_size=2 * MB, address=fork.end, rom=9)
    assert f"q35,memory-backend=ram,max-ram-below-4g={limit}" in line
    assert line[line.index("-cpu") + 1] == "host"
    assert line[line.index("-accel") + 1] == "kvm"
    assert any(part.endswith(f"id=ram,size={size},share=off") for part in line)
