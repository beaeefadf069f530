"""How peers are driven, with stand-ins for gdb and drgn; and what is prepared for them."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from scripts.benchmark import drgn_peer, peers
from scripts.benchmark.plain_c import Leaves
from scripts.benchmark.timing import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.benchmark.guest import Subject
    from scripts.benchmark.timing import Times

TIMED = Path(peers.__file__).with_name("timed.py")


@dataclass
class At:
    """As much of a subject as a peer in gdb is told."""

    socket: str = "/nowhere/gdb.sock"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "peer"
    made.mkdir()
    (made / "pt.py").touch()
    return made


def run(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, gdb: str, limit: float = 30
) -> tuple[Times, Path]:
    """Drive gdb-pt-dump with a shell script in gdb's place."""
    programs = checkout.parent / "bin"
    programs.mkdir()
    program = programs / "gdb"
    program.write_text(f"#!/bin/bash\n{gdb}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    way = peers.gdb_pt_dump(cast("Subject", At()), checkout, limit)
    return measure([way], turns=1, seconds=1), checkout.parent


def test_the_command_and_all_of_gdb_are_timed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = 'echo "$@" > "$0.asked"; seq 100; sleep 0.1; echo "ptlive-bench: seconds= 0.025"'
    times, folder = run(checkout, monkeypatch, gdb)
    (turn,) = times.turns
    assert turn["gdb-pt-dump"] == 0.025
    assert 0.1 < turn["gdb-pt-dump, whole process"] < 10
    asked = (folder / "bin/gdb.asked").read_text()
    assert f"-ex source {checkout}/pt.py -ex target remote /nowhere/gdb.sock" in asked
    # As gdb would let the guest run when it ends.
    assert asked.endswith("-ex disconnect\n")


def test_its_filter_is_another_way(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def gdb(commands: Sequence[str], limit: float, name: str) -> str:
        asked.append(commands[-3])
        return "page\n" * 100 + "ptlive-bench: seconds= 0.5"

    monkeypatch.setattr(peers, "_gdb", gdb)
    way = peers.gdb_pt_dump(cast("Subject", At()), checkout, 30, writable=True)
    (turn,) = measure([way], turns=1, seconds=1).turns
    assert (turn[peers.FILTERED], set(asked)) == (0.5, {"pt -filter w"})


def test_a_peer_that_fails_is_no_fast_one(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gdb = 'echo "ptlive-bench: seconds= 0.001"; echo "No symbol table"'
    times, _ = run(checkout, monkeypatch, gdb)
    assert times.skipped == {"gdb-pt-dump": "gdb-pt-dump lists nothing: No symbol table"}
    assert times.series == []


def test_a_slow_peer_is_ended_with_all_that_it_started(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    times, folder = run(checkout, monkeypatch, 'sleep 60 & echo $! > "$0.child"; wait', limit=0.5)
    assert time.monotonic() - begun < 20
    assert times.skipped == {"gdb-pt-dump": "gdb-pt-dump took more than 0.5 s and was ended"}
    child = Path("/proc", (folder / "bin/gdb.child").read_text().strip(), "stat")
    deadline = time.monotonic() + 5
    while child.exists() and child.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_a_folder_that_is_no_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"is no checkout of gdb-pt-dump: there is no pt.py"):
        peers.gdb_pt_dump(cast("Subject", At()), tmp_path, 1)
    with pytest.raises(PtliveError, match=r"is no checkout of pwndbg: there is no gdbinit.py"):
        peers.pwndbg(cast("Subject", At()), tmp_path, 1)


NOTE = b"OSRELEASE=6.1.0\nBUILD-ID=00\nPAGESIZE=4096\nSYMBOL(_stext)=0\n"


def test_vmcoreinfo_is_found_between_holes(tmp_path: Path) -> None:
    file = tmp_path / "ram"
    with open(file, "wb") as ram:
        ram.truncate(64 << 20)
        ram.seek(0x5000 + 100)  # as the kernel's log has it: no page of its own
        ram.write(NOTE)
        ram.seek(0x9000)  # something else that begins so
        ram.write(b"OSRELEASE=none of ours\0")
        ram.seek(33 << 20)
        ram.write(NOTE + b"\0 what was there before")
    assert drgn_peer.vmcoreinfo(file) == NOTE.decode()


def test_ram_without_vmcoreinfo_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ram"
    file.write_bytes(bytes(3 * 4096 + 5))
    with pytest.raises(PtliveError, match="no VMCOREINFO"):
        drgn_peer.vmcoreinfo(file)


def test_the_root_table_is_found_in_the_kernels_half() -> None:
    va = u64(0x1000, 0xFF11_0000_0020_0000, 0xFFFF_8000_0000_0000)
    pa = u64(0x7654_3000, 0x7640_0000, 0x7654_3000)
    leaves = Leaves(va, pa, va, va, np.array([1, 2, 1], np.uint8))
    # The first leaf has it too, in user space; the second has it 0x143000 bytes in.
    assert drgn_peer.linear_address(leaves, 0x7654_3000) == 0xFF11_0000_0034_3000
    with pytest.raises(PtliveError, match="does not map its root"):
        drgn_peer.linear_address(leaves, 0x9000_0000)


def timed(*command: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-I", "-S", str(TIMED), *command]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def test_memory_is_the_commands_own() -> None:
    takes = "x = bytearray(200 << 20); print('not seen')"
    few, many = timed("/bin/true"), timed(sys.executable, "-c", takes)
    (_, small), (seconds, large) = few.stdout.split(), many.stdout.split()
    assert int(small) < 20 << 10 < 200 << 10 < int(large) < 300 << 10
    assert 0 < float(seconds) < 60


def test_a_command_that_fails_is_told() -> None:
    done = timed(sys.executable, "-c", "import sys; sys.exit('it cannot be done')")
    assert (done.returncode, done.stderr) == (1, "it cannot be done\n")
