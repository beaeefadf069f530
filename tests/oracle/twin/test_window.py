"""The prober's constants, painted words, and where its own tables hang."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.twin import prober
from ptlive.oracle.twin.borrow import base, choose_slots, root_index
from ptlive.oracle.twin.paint import NO_FRAME, named, painted, returned
from ptlive.oracle.twin.script import tokens
from ptlive.oracle.twin.window import page_tables
from tests.oracle.twin.hand_made import CR4, GB, LONG_MODE, MB, hand_made

if TYPE_CHECKING:
    from pathlib import Path

ROM = (1 << 32) - (1 << 16)


def test_a_painted_word_is_what_the_assembler_says() -> None:
    word = int(painted(u64(0x1234_5678_9000))[0])
    assert word.to_bytes(8, "little") == bytes.fromhex("b88967452341ffe7")


def test_painted_words_name_their_frames_and_others_none() -> None:
    frames = u64(0, 0x1000, 0xFFFF_F000, 1 << 32, (1 << 44) - 0x1000)
    words = painted(frames + np.uint64(0x238))
    assert named(words).tolist() == frames.tolist()
    assert not (words & np.uint64(1)).any(), "absent, as an entry"
    assert returned(frames >> np.uint64(12)).tolist() == frames.tolist()
    others = np.concatenate([words ^ np.uint64(1), words ^ np.uint64(1 << 63), u64(0)])
    assert np.unique(named(others)).tolist() == [int(NO_FRAME)]
    assert returned(u64(1 << 32, int(NO_FRAME))).tolist() == [int(NO_FRAME)] * 2


def test_tokens_are_distinct_absent_entries_and_name_no_frame() -> None:
    some = np.concatenate([tokens(0, 1000), tokens(1000, 1000)])
    assert len(np.unique(some)) == 2000
    assert not (some & np.uint64(1)).any()
    assert np.unique(named(some)).tolist() == [int(NO_FRAME)]


def test_the_rom_begins_and_ends_where_a_cpu_starts() -> None:
    file = prober.load()
    assert (file["rom_start"], file["reset"]) == (ROM, (1 << 32) - 16)
    assert len(file.rom) == 1 << 16
    assert file.rom[0xFFF0] in (0xE9, 0xEB), "a near jump: CS keeps its base"
    patched = file.patched(cr4=CR4, extra=1 << 32, entries={0: 0x1_0000_4027, 511: 7})
    at = file["boot_extra"] - ROM
    assert patched[at : at + 8] == (1 << 32).to_bytes(8, "little")
    root = np.frombuffer(patched, dtype="<u8", count=512, offset=file["boot_root"] - ROM)
    assert np.flatnonzero(root).tolist() == [0, 511]
    assert root[0] == 0x1_0000_4027


def test_a_root_entrys_first_address_has_its_sign() -> None:
    assert base(0, 4) == 0
    assert base(255, 4) == 0x0000_7F80_0000_0000
    assert base(256, 4) == 0xFFFF_8000_0000_0000
    assert base(511, 5) == 0xFFFF_0000_0000_0000
    for levels in (4, 5):
        bases = np.array([base(slot, levels) for slot in range(512)], dtype=np.uint64)
        assert root_index(bases, levels).tolist() == list(range(512))


def test_what_is_borrowed_is_absent_and_not_asked_about_if_there_is_such_an_entry() -> None:
    root = np.ones(512, dtype=np.uint64)
    used = np.ones(512, dtype=np.uint64)
    forbidden = np.zeros(512, dtype=np.bool_)
    root[[3, 5, 7]] = 0
    used[[7, 9]] = 0
    assert choose_slots(root, used, forbidden) == (7, 3)
    forbidden[[3, 7]] = True
    assert choose_slots(root, used, forbidden) == (5, 9)
    forbidden[:] = True
    with pytest.raises(PtliveError, match="nothing to borrow"):
        choose_slots(root, used, forbidden)


@pytest.mark.parametrize("levels", [4, 5])
def test_the_window_shows_all_ram_and_the_rom_and_nothing_else(levels: int, tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {}, 3 * GB + 4 * MB, 3 * GB)
    la57 = 1 << 12 if levels == 5 else 0
    control = type(LONG_MODE)(cr0=LONG_MODE.cr0, cr4=CR4 | la57, efer=LONG_MODE.efer)
    at = 5 * GB + 0x4000
    file = prober.load()
    tables = page_tables(file, guest.fork(control=control), at)
    pdpt = tables[levels - 4]
    if levels == 5:
        assert tables[0, 0] == at + 0x1000 | 0x27
    leaves = {}
    for gigabyte in np.flatnonzero(pdpt[:511]).tolist():
        table = tables[(int(pdpt[gigabyte]) - at) >> 12]
        for index in np.flatnonzero(table).tolist():
            leaves[gigabyte << 30 | index << 21] = int(table[index])
    assert all(entry == address | 0xE3 for address, entry in leaves.items()), "R/W, supervisor"
    ram = {*range(0, 3 * GB, 2 * MB), *range(4 * GB, 4 * GB + 4 * MB, 2 * MB)}
    extra = set(range(5 * GB, 9 * GB, 2 * MB))
    assert set(leaves) == ram | extra | {4 * GB - 2 * MB}
    user = tables[(int(pdpt[511]) - at) >> 12]
    code = tables[(int(user[0]) - at) >> 12]
    assert np.flatnonzero(user).tolist() == np.flatnonzero(code).tolist() == [0]
    assert code[0] == file["user_code"] | 0x25, "read-only, user"


def test_more_ram_than_the_window_is_refused(tmp_path: Path) -> None:
    guest = hand_made(tmp_path, {}, 600 * GB, 3 * GB)
    with pytest.raises(PtliveError, match="more RAM than the twin can map"):
        page_tables(prober.load(), guest.fork(), 1 << 40)
