"""RAM in files, mapped: split, in several backends, with ROM that is in none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import pieces, u64
from ptlive.errors import PtliveError
from ptlive.memory.layered import Layered
from ptlive.memory.ram import PlainRam
from ptlive.memory.shared import open_shared
from tests.memory.own_memory import FRAME, HIGH, NODE, ROM, OwnMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U8, U64, Bool

FRAMES = u64(HIGH, 0, 3 * FRAME, 4 * FRAME, ROM, NODE - FRAME, NODE, 0xFEC0_0000, 2 * FRAME)


@pytest.fixture
def own() -> Iterator[OwnMemory]:
    made = OwnMemory(offset=FRAME)
    yield made
    made.close()


class Noted(PlainRam):
    """Notes what it is asked for."""

    asked: set[int]

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        self.asked |= set(addresses.tolist())
        return super().read(addresses, length)


def test_all_backends_and_what_is_in_none(own: OwnMemory) -> None:
    memory = open_shared(own.host())
    expected, there = own.truth().read(FRAMES, FRAME)
    data, valid = memory.read(FRAMES, FRAME)
    assert valid.tolist() == there.tolist() == [True] * 7 + [False, True]
    assert (data == expected).all()
    streamed = list(pieces(memory, FRAMES, FRAME))
    assert (np.concatenate([data for data, _ in streamed]) == expected).all()
    assert np.concatenate([valid for _, valid in streamed]).tolist() == valid.tolist()


def test_only_what_is_in_no_file_is_read_the_slow_way(own: OwnMemory) -> None:
    slow = Noted({ROM: own.content["pc.bios"], 0: own.content["ram"][: 8 * FRAME]})
    slow.asked = set()
    memory = open_shared(own.host(memory=slow, roots=frozenset()))
    slow.asked.clear()
    # A row across the stretch that the firmware locked is in one piece of the file.
    memory.read(u64(0, 3 * FRAME - 8, 4 * FRAME - 8, HIGH), 16)
    assert slow.asked == set()
    data, _ = memory.read(u64(HIGH, ROM + 16), 16)
    assert slow.asked == {ROM + 16}
    assert data[1].tobytes() == own.content["pc.bios"][16:32].tobytes()


def test_what_is_written_shows_at_once_and_nothing_can_be_written(own: OwnMemory) -> None:
    memory = open_shared(own.host())
    own.content["ram"][:8] = 7
    data, _ = memory.read(u64(0), 8)
    assert data.tobytes() == b"\7" * 8
    data[:] = 9
    assert own.content["ram"][0] == 7


def test_a_file_that_has_no_name_any_more_is_there_as_long_as_it_is_open() -> None:
    own = OwnMemory()
    memory = open_shared(own.host())
    own.close()
    data, valid = memory.read(u64(NODE), FRAME)
    assert valid.all()
    assert data.tobytes() == own.content["/objects/node"][:FRAME].tobytes()


def test_when_most_of_the_ram_is_in_no_file_the_reason_is_told() -> None:
    own = OwnMemory(shared=False)
    with pytest.raises(PtliveError, match="the guest's RAM is not shared"):
        open_shared(own.host())
    own.close()


def test_a_layer_leaves_what_it_is_given_alone(own: OwnMemory) -> None:
    """A streamed piece may be a view of the mapped file."""
    view = own.content["ram"][:FRAME].reshape(1, FRAME)
    view.flags.writeable = False

    class Views:
        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            return view, np.zeros(1, np.bool_)

    memory = Layered(Views(), own.truth())
    data, valid = memory.read(u64(NODE), FRAME)
    assert valid.all()
    assert data.tobytes() == own.content["/objects/node"][:FRAME].tobytes()
