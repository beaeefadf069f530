"""Records are announced before the change, undone newest first, and survive their reader."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.errors import PtliveError
from ptlive.target.journal import (
    Journal,
    MemoryRecord,
    Record,
    RegisterRecord,
    parse,
    undo_order,
)
from tests.wire.memory_stub import MemoryStub


def test_undo_restores_overlapping_writes_and_registers() -> None:
    stub = MemoryStub(np.arange(64, dtype=np.uint8))
    ram, lines = stub.ram.copy(), list[str]()
    journal = Journal(lines.append)
    registers = stub.registers(1)
    journal.record_registers(stub, 1, {"rip": registers["rip"], "rax": registers["rax"]})
    for address, size in ((8, 16), (16, 16), (8, 8)):
        journal.record_memory(address, stub.ram[address : address + size].tobytes())
        stub.write_physical([(address, b"\xff" * size)])
    stub.step(1, {"rax": 9})
    assert len(journal) == len(lines) == 4
    journal.undo(stub)
    assert (stub.ram == ram).all()
    assert stub.registers(1) == registers
    assert len(journal) == 0
    assert lines[-1] == "keep 0"


def test_a_mark_keeps_what_came_before() -> None:
    stub = MemoryStub(np.zeros(64, np.uint8))
    lines: list[str] = []
    journal = Journal(lines.append)
    journal.record_memory(0, b"a")
    mark = len(journal)
    journal.record_memory(1, b"b")
    journal.undo(stub, mark)
    assert stub.ram[:2].tobytes() == b"\0b"
    journal.clear(mark)  # nothing is left to forget, so nothing is sent
    assert lines == ["memory 0 61", "memory 1 62", "keep 1"]
    journal.undo(stub)
    assert stub.ram[:2].tobytes() == b"ab"


def test_nothing_is_recorded_that_could_not_be_announced() -> None:
    def refuse(_line: str) -> None:
        raise BrokenPipeError

    journal = Journal(refuse)
    with pytest.raises(BrokenPipeError):
        journal.record_memory(0, b"a")
    assert len(journal) == 0


def test_a_folder_is_announced_in_one_line() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    journal.record_folder("/tmp/a b")
    assert (lines, len(journal)) == (["folder /tmp/a b"], 0)
    with pytest.raises(PtliveError, match="cannot keep files in"):
        journal.record_folder("/tmp/a\nrelease")
    assert len(lines) == 1


def test_memory_comes_before_registers_and_newest_first() -> None:
    records: list[Record] = [
        RegisterRecord(1, {}, ("P1=0",)),
        MemoryRecord(1, b"a"),
        RegisterRecord(2, {}, ("P2=0",)),
        MemoryRecord(2, b"b"),
    ]
    assert undo_order(records) == (
        [MemoryRecord(2, b"b"), MemoryRecord(1, b"a")],
        [RegisterRecord(2, {}, ("P2=0",)), RegisterRecord(1, {}, ("P1=0",))],
    )


@given(st.integers(0, 2**52 - 1), st.binary(min_size=1, max_size=100))
def test_the_guard_reads_memory_as_it_was_written(address: int, old: bytes) -> None:
    record = MemoryRecord(address, old)
    assert parse(record.line() + "\n") == record


def test_the_guard_reads_registers_as_packets() -> None:
    record = RegisterRecord(17, {"rip": 1, "cr3": 2}, ("P10=0100", "P1d=0200"))
    assert parse(record.line()) == RegisterRecord(17, {}, record.packets)


@pytest.mark.parametrize("line", ["", "memory", "memory 1", "memory 1 zz", "registers", "keep 1"])
def test_rubbish_is_no_record(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(line)
