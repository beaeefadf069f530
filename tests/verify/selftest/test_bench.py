"""The tables of a bench hold what they say, and addresses pick what they are meant to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import Bench, bench, table_of
from ptlive.verify.selftest.record import Cpu
from ptlive.verify.selftest.variants import variants
from tests.reference import sdm
from tests.reference.machines import FIVE

P, RW, US, PS, XD = 1, 2, 4, 1 << 7, 1 << 63


def word(made: Bench, address: int) -> int:
    data, valid = made.tables.memory.read(np.array([address], dtype=np.uint64), 8)
    assert valid.all()
    return int(data.view("<u8")[0, 0])


@pytest.mark.parametrize("lvl", range(1, 6))
def test_each_bit_of_an_entry_is_changed_alone_at_each_level(lvl: int) -> None:
    made = variants(lvl, np.random.default_rng(0))
    for leaf in {one.leaf for one in made}:
        flips = {one.flips for one in made if one.leaf is leaf}
        assert {1 << bit for bit in range(64)} <= flips
        assert {key << 59 for key in range(16)} <= flips
        assert {0, RW, US, RW | US, XD, RW | XD, US | XD, RW | US | XD} <= flips
    assert len({(one.leaf, one.flips) for one in made}) == len(made)


@pytest.mark.parametrize("levels", [4, 5])
def test_the_tables_hold_each_variant_once_and_leave_room_for_the_prober(levels: int) -> None:
    with bench(levels, 0) as made:
        for lvl, table in made.slots.items():
            assert len(set(table.values())) == len(table)
            unused = [slot for slot in range(512) if slot not in table]
            assert {510, 511} <= set(unused)
            assert len(unused) >= 5
            for slot in unused:
                assert word(made, table_of(lvl) + 8 * slot) == 0
            for slot, variant in table.items():
                assert bool(word(made, table_of(lvl) + 8 * slot) & P) == (not variant.flips & P)


@pytest.mark.parametrize("levels", [4, 5])
def test_open_entries_lead_to_a_page_of_each_size(levels: int) -> None:
    """By the manual's walk, not ours."""
    machine = replace(FIVE, levels=levels, maxphyaddr=40)
    with bench(levels, 0) as made:
        sizes = set()
        for va in addresses.singles(made).tolist():
            picked = [variant for variant, _ in made.at(va)]
            leaf = next(at for at, one in enumerate(picked) if one is None or one.leaf)
            if any(one is None or one.flips for one in picked[: leaf + 1]):
                continue
            walk = sdm.translate(machine, lambda at: word(made, at), made.tables.root, va)
            if leaf < levels - 3:
                assert walk.kind == "malformed"  # PS where no page may be
                continue
            assert walk.kind == "leaf"
            assert walk.pa is not None
            assert made.tables.ram_map.kind_of(np.array([walk.pa], dtype=np.uint64))[0] == 1
            sizes.add(walk.page_size)
        assert sizes == {1 << 12, 1 << 21, 1 << 30}


def test_the_matrix_has_every_combination_of_rights_once() -> None:
    with bench(4, 0) as made:
        va = addresses.matrix(made)
        assert len(np.unique(va)) == len(va) == 8**4 + 8**3 + 8**2
        combinations = {
            tuple(one.flips for one, _ in made.at(int(address)) if one is not None)
            for address in va
        }
        assert len(combinations) >= 8**4


@pytest.mark.parametrize("levels", [4, 5])
def test_the_edges_of_what_is_canonical_are_among_the_edges(levels: int) -> None:
    half = 1 << (12 + 9 * levels - 1)
    with bench(levels, 0) as made:
        va = set(addresses.edges(made, np.random.default_rng(0)).tolist())
    assert {0, half - 0x1000, half, (1 << 64) - half - 0x1000, (1 << 64) - half} <= va
    assert (1 << 64) - 0x1000 in va


def test_the_same_seed_makes_the_same_bench_and_another_another() -> None:
    with bench(5, 1) as one, bench(5, 1) as same, bench(5, 2) as other:
        assert one.slots == same.slots
        assert one.slots != other.slots


def test_controls_come_in_every_combination_and_give_each_key_every_right() -> None:
    settings = Cpu(40).controls(5)
    bits = {(c.cr0 >> 16 & 1, c.efer >> 11 & 1, c.cr4 >> 20 & 7) for c in settings}
    assert len(bits) == len(settings) == 32
    for key in range(16):
        assert {c.pkru >> 2 * key & 3 for c in settings if c.cr4 >> 22 & 1} == {0, 1, 2, 3}


def test_a_cpu_without_a_feature_never_has_it_on() -> None:
    settings = Cpu(40, features=frozenset({"smep"})).controls(4)
    assert len(settings) == 8
    assert not any(c.cr4 >> 21 & 3 or c.pkru for c in settings)
