"""Memory over QMP: what is asked for, in how many pieces, and where no file arrives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import pieces, u64
from ptlive.errors import PtliveError
from ptlive.memory import qmp as module
from ptlive.memory.qmp import QmpMemory
from tests.memory.fake_qmp import FakeQmp
from tests.memory.own_memory import FRAME, HIGH, MAP, NODE, NODE_FRAMES, ROM, OwnMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1 << 20


@pytest.fixture
def own() -> Iterator[OwnMemory]:
    made = OwnMemory()
    yield made
    made.close()


def check(memory: QmpMemory, own: OwnMemory, addresses: list[int], length: int) -> None:
    expected, there = own.truth().read(u64(*addresses), length)
    data, valid = memory.read(u64(*addresses), length)
    assert valid.tolist() == there.tolist()
    assert (data == expected).all()


def open_qmp(fake: FakeQmp) -> tuple[QmpMemory, list[str]]:
    folders: list[str] = []
    memory = QmpMemory(fake, MAP, folders.append)  # type: ignore[arg-type]  # as far as it is used
    fake.saved.clear()
    return memory, folders


ALL = [HIGH, 0, 3 * FRAME, ROM, NODE - FRAME, NODE, 0xFEC0_0000, 0, 2**64 - FRAME]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_any_rows_by_file_or_by_text(own: OwnMemory, elsewhere: bool) -> None:
    fake = FakeQmp(own.truth())
    fake.elsewhere = elsewhere
    memory, folders = open_qmp(fake)
    check(memory, own, ALL, FRAME)
    check(memory, own, [HIGH + 8, 0, 40, ROM + 24], 8)
    check(memory, own, [ROM + 3, ROM + 8, HIGH + 1], 5)
    check(memory, own, [], 8)
    assert (memory.why_text is None) == (fake.printed == 0) == (not elsewhere)
    assert all(not os.path.exists(folder) for folder in folders)
    streamed = np.concatenate([data for data, _ in pieces(memory, u64(*ALL), FRAME)])
    assert (streamed == own.truth().read(u64(*ALL), FRAME)[0]).all()


def test_where_text_is_all_there_is_the_reason_is_told(own: OwnMemory) -> None:
    fake = FakeQmp(own.truth())
    fake.elsewhere = True
    memory, _ = open_qmp(fake)
    assert memory.why_text == "QEMU writes no file here (no file arrives)"


def test_what_is_near_comes_in_one_piece_but_never_across_a_device(own: OwnMemory) -> None:
    fake = FakeQmp(own.truth())
    memory, _ = open_qmp(fake)
    memory.read(u64(7 * FRAME, 0, ROM, HIGH, NODE + FRAME), FRAME)
    assert fake.saved == [
        (0, 8 * FRAME),
        (ROM, FRAME),
        (HIGH, NODE + 2 * FRAME - HIGH),
    ]


def test_what_is_far_apart_or_large_comes_in_several(
    own: OwnMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeQmp(own.truth())
    memory, _ = open_qmp(fake)
    monkeypatch.setattr(module, "_GAP", FRAME)
    memory.read(u64(0, 3 * FRAME, 5 * FRAME), FRAME)
    assert fake.saved == [(0, FRAME), (3 * FRAME, 3 * FRAME)]
    fake.saved.clear()
    monkeypatch.setattr(module, "_PIECE", 2 * FRAME)
    check(memory, own, [at * FRAME for at in range(5)], FRAME)
    assert fake.saved == [(0, 2 * FRAME), (2 * FRAME, 2 * FRAME), (4 * FRAME, FRAME)]


def test_rows_across_frames_and_at_the_end(own: OwnMemory) -> None:
    memory, _ = open_qmp(FakeQmp(own.truth()))
    end = NODE + NODE_FRAMES * FRAME
    data, valid = memory.read(u64(FRAME - 8, end - 16, end - 8), 16)
    assert valid.tolist() == [True, True, False]
    assert data[0].tobytes() == own.content["ram"][FRAME - 8 : FRAME + 8].tobytes()


def test_a_short_file_is_not_taken_for_memory(own: OwnMemory) -> None:
    fake = FakeQmp(own.truth())
    memory, _ = open_qmp(fake)
    fake.cut = True
    with pytest.raises(PtliveError, match="a short file"):
        memory.read(u64(0), FRAME)
