"""The small parts of the search: frames, halves, shares, pairs, confidence."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.analysis.roots import halves, judge
from ptlive.analysis.roots.candidates import Candidates, groups
from ptlive.analysis.roots.frames import Frames
from ptlive.analysis.roots.judge import Below, Facts
from ptlive.analysis.roots.scan import scan
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from tests.paging.mock_format import MOCK
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PS, PWU, RW, XD, A, D, P

FMT = make_levels(4, maxphyaddr=40)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1 << 16), min_size=2, max_size=8, unique=True))
def test_frames_are_those_that_lie_in_ram_whole(ends: list[int]) -> None:
    ends = sorted(ends)[: len(ends) // 2 * 2]
    stretches = [(first, last - 1) for first, last in zip(ends[::2], ends[1::2], strict=True)]
    frames = Frames(u64(*(s[0] for s in stretches)), u64(*(s[1] for s in stretches)), 256)
    held = {byte for first, last in stretches for byte in range(first, last + 1)}
    whole = [at for at in range(0, 1 << 16, 256) if all(at + n in held for n in range(256))]
    assert frames.addresses.tolist() == whole
    assert frames.count == len(whole)
    assert frames.number(u64(*whole)).tolist() == list(range(len(whole)))
    others = [at for at in range(0, 1 << 17, 256) if at not in set(whole)]
    assert not frames.hold(u64(*others)).any()


def test_halves_begin_where_the_format_says() -> None:
    assert halves.split(FMT) == halves.split(make_levels(5)) == 256
    assert halves.split(replace(FMT, windows=FMT.windows[:1])) == 512
    assert halves.root_bytes(FMT) == FRAME
    assert halves.split(MOCK) <= 1 << MOCK.level(MOCK.top).index_bits


def test_an_entry_is_its_table_and_its_rights() -> None:
    one, *others = (
        int(halves.identity(FMT, u64(value))[0])
        for value in (5 << 12 | PWU, 5 << 12 | PWU | A | D | 1 << 9, 5 << 12 | P | RW, 6 << 12)
    )
    assert one == others[0]
    assert one not in others[1:]
    assert others[2] == 0


def test_shares_count_each_way_to_differ() -> None:
    some = u64(1, 1, 0, 3, 0).reshape(1, -1)
    share = halves.compare(some, u64(1, 0, 1, 5, 0))
    assert [int(column[0]) for column in share] == [1, 1, 1, 1]


def test_equal_rows_are_one_group() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2]], dtype=np.uint64)
    which = groups(rows).tolist()
    assert which[0] == which[2] != which[1]
    assert groups(rows[:0]).size == 0


def test_rows_are_found_by_address() -> None:
    some = Candidates(FMT, u64(4096, 12288), np.zeros((2, 512), dtype=np.uint64))
    assert some.row_of(u64(12288, 8192, 1 << 40)).tolist() == [1, -1, -1]
    assert some.take(np.zeros(0, dtype=np.intp)).row_of(u64(1)).tolist() == [-1]


class Holey(PlainRam):
    """RAM of which the second half was never written, and the third frame cannot be read."""

    def read(self, addresses, length):  # type: ignore[no-untyped-def]  # as PlainRam's
        data, valid = super().read(addresses, length)
        valid[addresses == np.uint64(2 * FRAME)] = False
        data[~valid] = 0
        return data, valid

    def written(self, addresses, length):  # type: ignore[no-untyped-def]  # as SparseRam's
        return addresses < np.uint64(self.data.size // 2)


def test_what_was_never_written_is_not_read_and_what_cannot_be_read_is_told() -> None:
    ram = Holey(16 * FRAME)
    for at in (1, 2, 12):
        ram.write(at * FRAME + 8 * 100, 3 * FRAME | PWU)
    found = scan(FMT, ram, Frames(u64(0), u64(16 * FRAME - 1), FRAME), [])
    assert found.tables.tolist() == [FRAME]
    assert (found.looked, found.of) == (15, 16)
    assert max(at for addresses, _ in ram.reads for at in addresses) < 8 * FRAME


@pytest.mark.parametrize(
    ("entry", "likely"),
    [
        (3 * FRAME | PWU, True),
        (3 * FRAME | P | XD | 0x7F << 52, True),  # ignored bits
        (3 * FRAME | RW, False),  # not present, and not zero
        (3 * FRAME | PWU | PS, False),  # reserved in a root
        (3 * FRAME | PWU | 1 << 40, False),  # beyond MAXPHYADDR
        (64 * FRAME | PWU, False),  # no RAM
    ],
)
@pytest.mark.parametrize("index", [0, 7, 8, 300, 511])
def test_what_a_root_may_hold(entry: int, likely: bool, index: int) -> None:
    ram = PlainRam(16 * FRAME)
    ram.write(5 * FRAME + 8 * index, entry)
    found = scan(FMT, ram, Frames(u64(0), u64(16 * FRAME - 1), FRAME), [])
    assert found.tables.tolist() == ([5 * FRAME] if likely else [])


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    ram = PlainRam((1 << 15) * 256)
    frames = Frames(u64(0), u64(ram.data.size - 1), 256)
    small = replace(FMT, levels=(*FMT.levels[:3], replace(FMT.level(4), index_bits=5)))
    scan(small, ram, frames, [], lambda *said: told.append(said))
    assert told
    assert all(done < total == frames.count for _, done, total in told)


BELOW = Below(leaves=9, bytes=9 << 12, user=9, in_ram=9, bad=0, junk=0, tables=4)
EMPTY = Below(0, 0, 0, 0, 0, 0, 0)


def test_less_evidence_is_less_confidence() -> None:
    whole = Facts(root=1, below=BELOW, shared=50, kernel=50)
    order = [
        replace(whole, vcpus=(1,)),
        whole,
        replace(whole, shared=40),
        replace(whole, shared=40, differing=10),
        replace(whole, below=replace_below(user=0)),
        replace(whole, shared=0, family=3),
        replace(whole, shared=0),
        replace(whole, below=EMPTY),
        replace(whole, shared=0, below=replace_below(bad=1)),
    ]
    values = [judge.confidence_of(facts) for facts in order]
    assert all(more >= less for more, less in pairwise(values))
    assert [value >= judge.DEFAULT for value in values] == [True] * 6 + [False] * 3
    assert judge.confidence_of(replace(whole, below=EMPTY, mapped=2)) > judge.DEFAULT
    assert judge.confidence_of(replace(whole, below=replace_below(bad=1))) < values[1]
    assert judge.confidence_of(replace(whole, below=replace_below(bad=99))) < judge.DEFAULT


def replace_below(**values: int) -> Below:
    return BELOW._replace(**values)


def test_words_for_it() -> None:
    words = [judge.word(value) for value in (1.0, 0.95, 0.6, 0.4)]
    assert words == ["certain", "high", "medium", "low"]
