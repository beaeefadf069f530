"""What a snapshot says of a guest besides its memory: there and back, and when it is nonsense."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.errors import PtliveError
from ptlive.memory.snapshot.read import Snapshot, open_snapshot
from ptlive.memory.snapshot.write import create
from ptlive.target.from_file.open import open_file
from ptlive.target.from_file.snapshot import describe, saved_of
from ptlive.target.saved_state import SavedTypes
from tests.paging.tables import machine
from tests.simulated_guest import RAM_MAP, Guest

if TYPE_CHECKING:
    from pathlib import Path

TYPES = SavedTypes(0x0007040600070406, 0xC06, tuple(range(11)), ((1 << 40, 0x800), (0, 0)))


def about(**more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "guest": "any",
        "full": False,
        "live": False,
        "pkru": {1: 0x55555554},
        "memory_types": TYPES,
        "roots": [{"root": "0x0", "origin": "cr3"}],
        "notes": [("code", "text")],
    }
    return describe(Guest(machine(levels=5)).target(), **given | more)


def opened(path: Path, said: dict[str, Any]) -> Any:
    with create(path, force=True) as writer:
        writer.finish(said)
    return open_file(path)


def test_there_and_back(tmp_path: Path) -> None:
    guest = Guest(machine(levels=5))
    target = opened(tmp_path / "one", about())
    assert target.cpus == (dataclasses.replace(guest.cpu, pkru=0x55555554),)
    assert target.ram_map.regions == RAM_MAP.regions
    assert (target.accelerator, target.version, target.was_running) == ("TCG", "7.2.22", True)
    assert target.file.memory_types == TYPES
    assert target.file.first == (("code", "when the snapshot was made: text"),)
    assert target.stub.registers(1).items() >= guest.registers_now.items()
    assert target.stub.monitor("info memory-devices").startswith("Memory device")
    with pytest.raises(PtliveError, match=r"a snapshot has no QEMU .* 'info tlb'"):
        target.stub.monitor("info tlb")


def test_what_could_run_meanwhile_says_so(tmp_path: Path) -> None:
    said = about(live=True)
    (first, _) = opened(tmp_path / "one", said).file.first
    assert first[0] == "read-live"
    assert said["time"] in first[1]


def test_no_twin_of_half_a_guest(tmp_path: Path) -> None:
    assert "needs all of the guest's RAM" in opened(tmp_path / "one", about()).file.no_twin
    assert opened(tmp_path / "one", about(full=True)).file.no_twin == ""


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where each value stands in nested lists and dictionaries."""
    if isinstance(value, dict):
        below = value.items()
    elif isinstance(value, list):
        below = dict(enumerate(value)).items()
    else:
        return [path]
    return [path, *(one for key, item in below for one in paths(item, (*path, key)))]


WHOLE = about()
NONSENSE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1 << 70, 0.5, "", "0x", "-0x1", "0x10000000000000000", "x\x1b[2J", [], {}]
) | st.lists(st.integers(), max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(paths(WHOLE)[1:]), NONSENSE | st.just("left out"))
def test_nonsense_is_one_sentence_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
) -> None:
    said = copy.deepcopy(WHOLE)
    place: Any = said
    for key in path[:-1]:
        place = place[key]
    if value == "left out":
        del place[path[-1]]
    else:
        place[path[-1]] = value
    file = tmp_path_factory.mktemp("about") / "one"
    try:
        target = opened(file, said)
    except PtliveError as error:
        said_so = str(error)
    else:
        target.memory.read(np.zeros(1, np.uint64), 8)
        assert all(isinstance(text, str) for _, text in target.file.first)
        return
    assert said_so.startswith(f"cannot read {file}: ")
    assert said_so.isprintable()


def test_too_much_of_anything(tmp_path: Path) -> None:
    with create(tmp_path / "one") as writer:
        writer.finish({})
    memory = open_snapshot(tmp_path / "one").memory
    for name, item in (("cpus", WHOLE["cpus"][0]), ("regions", WHOLE["regions"][0])):
        said = WHOLE | {name: [item] * 5000}
        with pytest.raises(PtliveError, match="what it says of the guest makes no sense"):
            saved_of(Snapshot(said, memory))
    with pytest.raises(PtliveError, match="what it says of the guest makes no sense"):
        saved_of(Snapshot(WHOLE | {"cpus": WHOLE["cpus"] * 2}, memory))
