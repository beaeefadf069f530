"""Reading a process: this one, one that may not be read, one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.proc import ProcMemory, open_process
from tests.memory.own_memory import FRAME, HIGH, NODE, ROM, OwnMemory, as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.arrays import U8, U64, Bool


@pytest.fixture
def own() -> Iterator[OwnMemory]:
    made = OwnMemory()
    yield made
    made.close()


class Nothing:
    """A slower way that is good for what was compared, and then for nothing."""

    def __init__(self, own: OwnMemory) -> None:
        self.truth, self.asked = own.truth(), False

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        if not self.asked:
            return self.truth.read(addresses, length)
        return np.zeros((len(addresses), length), np.uint8), np.zeros(len(addresses), np.bool_)


def test_every_region_is_found_in_the_process_and_nothing_else(own: OwnMemory) -> None:
    rest = Nothing(own)
    memory = open_process(own.host(memory=rest))
    rest.asked = True
    frames = u64(0, 3 * FRAME, 7 * FRAME, ROM, HIGH, NODE - FRAME, NODE, 0xFEC0_0000, 2**64 - FRAME)
    data, valid = memory.read(frames, FRAME)
    expected, there = own.truth().read(frames, FRAME)
    assert valid.tolist() == there.tolist() == [True] * 7 + [False] * 2
    assert (data == expected).all()


def test_more_pieces_than_one_call_takes(own: OwnMemory) -> None:
    memory = open_process(own.host())
    at = np.random.default_rng(0).integers(0, 4 * FRAME, 5000).astype(np.uint64) + u64(NODE)
    at = at[at <= NODE + 4 * FRAME - 8]
    data, valid = memory.read(at, 8)
    assert valid.all()
    assert (data == own.truth().read(at, 8)[0]).all()


def test_neither_an_unknown_process_nor_one_without_the_memory(own: OwnMemory) -> None:
    with pytest.raises(PtliveError, match="process is not known"):
        open_process(own.host(pid=None))
    with pytest.raises(PtliveError, match=r"process 4194305 is gone"):
        open_process(own.host(pid=4194305))
    with pytest.raises(PtliveError, match=r"does not tell where .* \(gpa2hva\)"):
        open_process(own.host(monitor_many=lambda commands: [""] * len(commands)))

    def elsewhere(commands: Sequence[str]) -> list[str]:
        said = f"Host virtual address for 0x0 (ram) is {0x1000:#x}"
        ends = [int(command.split()[1], 16) for command in commands]
        return [f"{said[:-6]}{0x1000 + end:#x}" for end in ends]

    with pytest.raises(PtliveError, match="does not have the guest's memory"):
        open_process(own.host(monitor_many=elsewhere))


def test_one_whose_memory_is_other_than_the_guests(own: OwnMemory) -> None:
    host = own.host()
    own.content["ram"][2 * FRAME] ^= 1  # the root

    class Before:
        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            data, valid = own.truth().read(addresses, length)
            data[addresses == 2 * FRAME, 0] ^= 1
            return data, valid

    open_process(host)
    with pytest.raises(PtliveError, match="does not have the guest's memory"):
        open_process(own.host(memory=Before()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_process_that_this_user_may_not_trace(own: OwnMemory) -> None:
    host = own.host(pid=os.getpid())

    def work() -> str:
        try:
            open_process(host)
        except PtliveError as error:
            return str(error)
        return "it was read"

    assert as_nobody(work) == (
        f"QEMU's process {os.getpid()} may not be read by this user (ptrace is not permitted)"
    )


UNTRACEABLE = """
import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may trace whatever it likes")
def test_a_process_that_does_not_let_itself_be_traced(own: OwnMemory) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", UNTRACEABLE]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        with pytest.raises(PtliveError, match="ptrace is not permitted"):
            open_process(own.host(pid=child.pid))
        child.stdin.close()


def test_a_process_that_ends_meanwhile() -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", "input(1)"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"1"
        first = int(Path(f"/proc/{child.pid}/maps").read_text().split("-")[0], 16)
        memory = ProcMemory(child.pid, [(0, FRAME - 1, first)])
        data, valid = memory.read(u64(0), 4)
        assert (valid.tolist(), data.tobytes()) == ([True], b"\x7fELF")
        child.kill()
        child.wait()
        with pytest.raises(PtliveError, match=f"QEMU's process {child.pid} has ended"):
            memory.read(u64(0), 4)
        assert memory.read(u64(FRAME), 4)[1].tolist() == [False], "which asks for nothing"
