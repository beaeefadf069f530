"""A and D after accesses that fail: SDM vol. 3A 4.8 leaves open what they mark; this is TCG.

Its walk writes A into each entry that refers to a table before it reads that table
(QEMU target/i386/tcg/sysemu/excp_helper.c, mmu_translate), and marks the leaf last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.oracle.twin.run import run
from ptlive.oracle.twin.script import Peek, Probe
from tests.oracle.twin.hand_made import PD, PDPT, PT, ROOT, RW, US, A, D, P, hand_made, pages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.qemu
PAGE = 0x100000
MARKS = {"no page": 0, "supervisor's": P | RW, "read-only": P | US, "bit 51": P | RW | US | 1 << 51}


@pytest.mark.parametrize("name", MARKS)
def test_an_access_that_fails_marks_the_entries_above_the_leaf_alone(
    tmp_path: Path, name: str
) -> None:
    leaf = PAGE | MARKS[name] if MARKS[name] else 0
    found = marks(tmp_path, leaf, "user-write")
    assert found == ([A, A, A], 0, 14)


@pytest.mark.parametrize(("kind", "leaf"), [("user-read", A), ("user-write", A | D)])
def test_an_access_that_happens_marks_all(tmp_path: Path, kind: str, leaf: int) -> None:
    assert marks(tmp_path, PAGE | P | RW | US, kind) == ([A, A, A], leaf, 0)


@pytest.mark.parametrize(("bad", "marked"), [(ROOT + 8, 0), (PDPT, 1), (PD, 2)])
def test_below_a_reserved_bit_nothing_is_marked(tmp_path: Path, bad: int, marked: int) -> None:
    upper, leaf, vector = marks(tmp_path, PAGE | P | RW | US, "user-read", bad)
    assert upper == [A] * marked + [0] * (3 - marked)
    assert (leaf, vector) == (0, 14)


def marks(folder: Path, leaf: int, kind: str, bad: int | None = None) -> tuple[list[int], int, int]:
    """Make an access; return A and D of the upper entries and of the leaf, and the vector.

    The tables have neither at first; bad: address of an entry that gets a reserved bit.
    """
    ram = hand_made(folder, {5: leaf})
    if bad is not None:
        below = {ROOT + 8: PDPT, PDPT: PD, PD: PT}[bad]
        ram.put({bad: below | P | RW | US | 1 << 51})
    entries = np.array([ROOT + 8, PDPT, PD, PT + 8 * 5], dtype=np.uint64)
    outcome = run(ram.fork(), [Probe(ACCESS_KINDS[kind], pages(5)), Peek(entries)])
    *upper, last = (int(word) & (A | D) for word in outcome.words[0])
    return upper, last, int(outcome.answers[0].vector[0])
