"""RAM that was filled to keep us busy: the search ends, and says what it left out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ptlive.analysis.roots import count, find, related, strangers
from ptlive.analysis.roots.find import find_roots
from ptlive.arrays import u64
from ptlive.paging.formats.x86_64 import make_levels
from tests.paging.plain_ram import FRAME, PlainRam
from tests.paging.tables import PWU, RW, US, XD, P

FRAMES = 512
FMT = make_levels(4, maxphyaddr=40)
STRETCHES = (u64(0), u64(FRAMES * FRAME - 1))
RIGHTS = (P, P | RW, P | US, PWU, P | XD, P | RW | XD, P | US | XD, PWU | XD)


def everything_refers_to_everything(seed: int = 1) -> PlainRam:
    ram = PlainRam(FRAMES * FRAME)
    rng = np.random.default_rng(seed)
    flags = rng.choice(np.array(RIGHTS, dtype=np.uint64), FRAMES * 512)
    targets = rng.integers(0, FRAMES, FRAMES * 512, dtype=np.uint64) * np.uint64(FRAME)
    ram.table(0, FRAMES * 512)[:] = targets | flags
    return ram


@pytest.mark.parametrize("known", [{}, {7 * FRAME: (1,)}])
def test_every_frame_looks_like_a_table(
    known: dict[int, tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = everything_refers_to_everything()
    monkeypatch.setattr(count, "_MOST_UPPER", 1 << 14)
    tracemalloc.start()
    found = find_roots(FMT, ram, STRETCHES, known)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Each is what another one refers to: none is at the top of anything.
    assert [one.root for one in found.roots] == list(known)
    assert found.looked == found.of == FRAMES
    # Without a bound it is 640 MB.
    assert most < 64 << 20


def test_every_frame_refers_to_itself_alone() -> None:
    ram = PlainRam(FRAMES * FRAME)
    for frame in range(FRAMES):
        ram.table(frame * FRAME)[:] = frame * FRAME | PWU
    found = find_roots(FMT, ram, STRETCHES, {})
    # They map themselves, and are roots as far as can be told; nothing says that one is.
    assert len(found.roots) == FRAMES
    assert not any(one.shown for one in found.roots)


def test_copies_of_a_known_half_in_every_frame() -> None:
    ram = PlainRam(FRAMES * FRAME)
    for frame in range(1, FRAMES):
        ram.table(frame * FRAME)[256:] = frame | PWU
        ram.table(frame * FRAME)[256:] = FRAME | PWU
        ram.table(frame * FRAME)[0] = frame * FRAME | PWU
    found = find_roots(FMT, ram, STRETCHES, {FRAME: (1,)})
    assert len(found.roots) <= FRAMES


def test_bounds_are_told_when_they_bite(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = PlainRam(FRAMES * FRAME)
    for frame in range(8, FRAMES):
        ram.table(frame * FRAME)[:] = frame * FRAME | PWU
    monkeypatch.setattr(find, "MOST_OTHERS", 100)
    monkeypatch.setattr(strangers, "MOST_WALKED", 10)
    found = find_roots(FMT, ram, STRETCHES, {})
    assert len(found.roots) == 10
    assert [text.split(":")[0] for text in found.limits] == [
        "504 frames look like root tables",
        "100 tables that nothing refers to look like roots",
    ]


def test_a_known_half_in_too_many_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = PlainRam(FRAMES * FRAME)
    for frame in range(8, FRAMES):
        ram.table(frame * FRAME)[300] = FRAME | PWU
        ram.table(frame * FRAME)[0] = frame * FRAME | PWU
    monkeypatch.setattr(related, "MOST_RELATED", 50)
    found = find_roots(FMT, ram, STRETCHES, {9 * FRAME: (1,)})
    assert any(text.startswith("504 frames share a known") for text in found.limits)


def test_tables_beyond_the_bound_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = everything_refers_to_everything()
    monkeypatch.setattr(count, "_MOST_UPPER", 10_000)
    found = find_roots(FMT, ram, STRETCHES, {7 * FRAME: (1,)})
    (one,) = (one for one in found.roots if one.vcpus)
    assert one.below is None
    assert "too many tables to walk" in one.evidence
    assert len(found.limits) >= 2
