"""Scripts on a few page tables written by hand; every expectation is the manual's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.twin.ask import Jobs, ask
from ptlive.oracle.twin.borrow import base
from ptlive.oracle.twin.paint import NO_FRAME, painted
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import CopyFrames, Peek, Poke, Probe, SetControl
from tests.oracle.twin.hand_made import (
    GB,
    LONG_MODE,
    MB,
    PD,
    PDPT,
    PT,
    ROOT,
    RW,
    US,
    A,
    D,
    P,
    hand_made,
    pages,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.oracle.twin.script import Step

pytestmark = pytest.mark.qemu

READ, WRITE, FETCH = (ACCESS_KINDS[f"supervisor-{what}"] for what in ("read", "write", "fetch"))
USER_READ, USER_WRITE, USER_FETCH = (
    ACCESS_KINDS[f"user-{what}"] for what in ("read", "write", "fetch")
)
OPEN = P | RW | US | A | D


def test_a_read_and_a_fetch_name_their_frame_and_a_write_its_home(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN, 6: 0x10_6000 | OPEN})
    frames = u64(0x10_5000, 0x10_6000)
    addresses = {kind: pages(5, 6) for kind in (READ, FETCH, USER_READ, USER_FETCH)}
    addresses |= {kind: pages(5, 6, offset=8) for kind in (WRITE, USER_WRITE)}
    homes = {kind: frames + np.uint64(8) for kind in (WRITE, USER_WRITE)}
    before = hashlib.sha256(guest.path.read_bytes()).digest()
    replies = ask(guest.fork(), Jobs(addresses, homes, paint=frames))
    for kind in (READ, FETCH, USER_READ, USER_FETCH):
        assert replies.answers[kind].frame.tolist() == frames.tolist(), kind
    for kind in (WRITE, USER_WRITE):
        assert replies.answers[kind].landed.all(), kind
    assert hashlib.sha256(guest.path.read_bytes()).digest() == before


def test_a_write_that_arrives_elsewhere_has_not_landed(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN})
    probes = [Probe(WRITE, pages(5), homes) for homes in (u64(0x10_6000), u64(0x10_5000), None)]
    outcome = run(guest.fork(), probes)
    assert [answers.allowed.all() for answers in outcome.answers] == [True] * 3
    assert [answers.landed.all() for answers in outcome.answers] == [False, True, False]


def test_what_is_not_painted_names_no_frame(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN, 6: 0x10_6000 | OPEN})
    outcome = run(guest.fork(), [Probe(READ, pages(5, 6)), Probe(USER_FETCH, pages(5))])
    assert [answers.frame.tolist() for answers in outcome.answers] == [
        [int(NO_FRAME)] * 2,
        [int(NO_FRAME)],
    ]


def test_a_fault_has_its_whole_error_code_and_address(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | P})
    expected = {  # W is 2, U 4, I 16
        READ: ([0, 14], [0, 0]),
        WRITE: ([14, 14], [3, 2]),
        USER_READ: ([14, 14], [5, 4]),
        USER_WRITE: ([14, 14], [7, 6]),
        USER_FETCH: ([14, 14], [21, 20]),
    }
    at = pages(5, 6, offset=0x238)
    replies = ask(guest.fork(), Jobs(dict.fromkeys(expected, at)))
    for kind, (vectors, codes) in expected.items():
        answers = replies.answers[kind]
        assert answers.vector.tolist() == vectors, kind
        assert answers.error_code.tolist() == codes, kind
        assert answers.cr2.tolist() == [
            int(va) if vector else 0 for va, vector in zip(at, vectors, strict=True)
        ], kind


def test_accessed_and_dirty_are_as_the_mmu_writes_them(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | P | RW, 6: 0x10_6000 | P | RW})
    entries = u64(ROOT + 8, PDPT, PD, PT + 40, PT + 48)
    outcome = run(
        guest.fork(),
        [
            Peek(entries),
            Probe(READ, pages(5)),
            Peek(entries),
            Probe(WRITE, pages(5)),
            Peek(entries),
            CopyFrames(u64(PT, ROOT)),
        ],
    )
    flags = [(words & np.uint64(A | D)).tolist() for words in outcome.words]
    assert flags == [[0] * 5, [A, A, A, A, 0], [A, A, A, A | D, 0]]
    table, root = outcome.frames[0]
    assert table[5] == 0x10_5000 | P | RW | A | D
    assert np.count_nonzero(table) == 2
    assert np.flatnonzero(root).tolist() == [1], "the borrowed entry is not shown"


def test_the_control_registers_are_the_guests_and_can_change(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | P | US | A | D})
    no_wp = replace(LONG_MODE, cr0=LONG_MODE.cr0 & ~(1 << 16))
    smap = replace(LONG_MODE, cr4=LONG_MODE.cr4 | 1 << 21)
    smep = replace(LONG_MODE, cr4=LONG_MODE.cr4 | 1 << 20)
    write, read, fetch = Probe(WRITE, pages(5)), Probe(READ, pages(5)), Probe(FETCH, pages(5))
    with_ac = Probe(ACCESS_KINDS["supervisor-read-ac"], pages(5))
    paint = Poke(u64(0x10_5000), painted(u64(0x10_5000)))
    data: list[Step] = [write, SetControl(no_wp), write, SetControl(smap), read, with_ac, read]
    outcome = run(guest.fork(), [*data, paint, fetch, SetControl(smep), fetch])
    vectors = [int(answers.vector[0]) for answers in outcome.answers]
    assert vectors == [14, 0, 14, 0, 14, 0, 14]
    assert [int(answers.error_code[0]) for answers in outcome.answers] == [3, 0, 1, 0, 1, 0, 17]


def test_a_table_that_is_changed_between_probes_is_walked_anew(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN | 1 << 8})
    pge = replace(LONG_MODE, cr4=LONG_MODE.cr4 | 1 << 7)  # and bit 8 makes the page global
    paint = Poke(u64(0x10_5000, 0x10_6000), painted(u64(0x10_5000, 0x10_6000)))
    probe = Probe(READ, pages(5))
    change = Poke(u64(PT + 40), u64(0x10_6000 | OPEN | 1 << 8))
    outcome = run(guest.fork(control=pge), [paint, probe, change, probe])
    assert [int(answers.frame[0]) for answers in outcome.answers] == [0x10_5000, 0x10_6000]


@pytest.mark.parametrize("levels", [4, 5])
def test_every_root_entry_can_be_asked_about_the_borrowed_one_too(
    levels: int, tmp_path: Path
) -> None:
    guest = hand_made(tmp_path, {})
    control = replace(LONG_MODE, cr4=LONG_MODE.cr4 | (1 << 12 if levels == 5 else 0))
    addresses = np.array([base(slot, levels) + 0x128 for slot in range(512)], dtype=np.uint64)
    outcome = run(
        guest.fork(control=control),
        [Probe(READ, addresses), Probe(USER_WRITE, addresses, None), CopyFrames(u64(ROOT))],
    )
    for answers, code in zip(outcome.answers, (0, 6), strict=True):
        assert np.unique(answers.vector).tolist() == [14]
        assert answers.cr2.tolist() == addresses.tolist()
        assert np.unique(answers.error_code).tolist() == [code]
    assert np.flatnonzero(outcome.frames[0][0]).tolist() == [1]


def test_a_root_without_a_free_entry_lends_a_used_one(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN})
    guest.put({ROOT + 8 * slot: PDPT | P | RW | US for slot in range(512)})
    addresses = np.array([base(slot, 4) + 0x5000 for slot in range(512)], dtype=np.uint64)
    jobs = Jobs({READ: addresses}, paint=u64(0x10_5000), tables=u64(ROOT))
    replies = ask(guest.fork(), jobs)
    assert np.unique(replies.answers[READ].frame).tolist() == [0x10_5000]
    expected = PDPT | P | RW | US
    assert np.unique(replies.tables[0] & ~np.uint64(A)).tolist() == [expected]


@pytest.mark.parametrize(
    ("machine", "low", "size"),
    [("pc", 3 * GB, 3 * GB + 4 * MB), ("q35", 2 * GB, 4 * GB), ("q35", 4 * MB, 4 * MB)],
)
def test_memory_lies_where_the_guest_has_it(
    machine: str, low: int, size: int, tmp_path: Path
) -> None:
    top = low - 0x1000
    frames = [top, 0xA_0000, 0xC_0000, 0xF_F000]
    if size > low:
        frames += [4 * GB, 4 * GB + size - low - 0x1000]
    leaves = {index: frame | OPEN for index, frame in enumerate(frames)}
    guest = hand_made(tmp_path, leaves, size, low)
    # Each frame says in the file where in the file it is.
    guest.put({frame if frame < low else frame - 4 * GB + low: frame | 1 for frame in frames})
    at = pages(*range(len(frames)))
    outcome = run(
        guest.fork(machine=machine),
        [Probe(READ, at), Poke(u64(*frames), painted(u64(*frames))), Probe(READ, at)],
    )
    read, again = outcome.answers
    assert read.value.tolist() == [frame | 1 for frame in frames]
    assert again.frame.tolist() == frames


def test_a_job_of_no_length_is_answered_with_nothing(tmp_path: Path) -> None:
    none = np.zeros(0, dtype=np.uint64)
    replies = ask(hand_made(tmp_path, {}).fork(), Jobs(dict.fromkeys(ACCESS_KINDS.values(), none)))
    assert [len(answers.vector) for answers in replies.answers.values()] == [0] * 8
    assert replies.tables.shape == (0, 512)


@pytest.mark.parametrize(
    ("code", "vectors"),
    # Ring 3 may not use the gate of INT3: #GP.
    [(0xCC, (3, 13)), (0x0B0F, (6, 6)), (0x80CD, (13, 13)), (0x050F, (0, 0)), (0xFEEB, (0, 0))],
    ids=["int3", "ud2", "int 0x80", "syscall", "jmp to itself"],
)
def test_whatever_is_executed_the_next_probe_is_made(
    code: int, vectors: tuple[int, int], tmp_path: Path
) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN, 6: 0x10_6000 | OPEN})
    guest.put({0x10_5000: code, 0x10_6000: int(painted(u64(0x10_6000))[0])})
    outcome = run(guest.fork(), [Probe(kind, pages(5, 6)) for kind in (FETCH, USER_FETCH)])
    for answers, vector in zip(outcome.answers, vectors, strict=True):
        assert answers.vector.tolist() == [vector, 0]
        assert answers.frame.tolist() == [int(NO_FRAME), 0x10_6000]


def test_code_that_halts_meets_the_time_limit(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {5: 0x10_5000 | OPEN})
    guest.put({0x10_5000: 0xF4})  # hlt
    with pytest.raises(
        PtliveError, match=r"not done after 0\.5 s; its last access was at 0x8000005000"
    ):
        run(guest.fork(), [Probe(FETCH, pages(5))], seconds=0.5)


def test_a_write_through_a_mapping_of_the_root_does_not_hit_what_is_borrowed(
    tmp_path: Path,
) -> None:
    guest = hand_made(tmp_path, {5: ROOT | OPEN})
    homes = u64(*(ROOT + 8 * slot for slot in range(8) if slot != 1))
    va = pages(*[5] * len(homes)) + (homes - np.uint64(ROOT))
    outcome = run(guest.fork(), [Probe(WRITE, va, homes), Probe(READ, pages(5))])
    assert outcome.answers[0].landed.all()
    assert outcome.answers[1].allowed.all()
