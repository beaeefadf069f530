"""A guest's tables changed in its fork: the rules agree, wrong ones do not, the guest stays."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.guests import recipe
from ptlive.paging.format import Fold
from ptlive.space import open_space
from ptlive.target import launch
from ptlive.target.attach import attach
from ptlive.target.machine import Machine
from ptlive.verify.selftest import guest as subject
from ptlive.verify.selftest.cpus import cpu_of_guest
from ptlive.verify.selftest.guest import patched, selftest_guest
from ptlive.verify.selftest.rules import OURS
from ptlive.verify.twins.fork import fork_of
from tests.paging.plain_ram import PlainRam
from tests.verify.selftest.mutants import right

if TYPE_CHECKING:
    from ptlive.analysis.selftest import BenchReport
    from ptlive.target.running import Guest
    from ptlive.verify.selftest.rules import Rules


def changed(guest: Guest, rules: Rules) -> BenchReport:
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        space = replace(space, controls=space.controls.with_pkru(0))
        fork = fork_of(target, space, guest)
        cpu = cpu_of_guest(target.cpus[0], fork, "TCG")
        return selftest_guest(space, fork, cpu, 3, "ptlive selftest", rules=rules)


@pytest.mark.qemu
def test_the_rules_agree_on_changed_tables_and_the_guest_stays_as_it_is(
    menu_guest_4: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_ADDRESSES", 64)
    before = hashlib.sha256(Path(menu_guest_4.ram).read_bytes()).digest()
    report = changed(menu_guest_4, OURS)
    assert report.disagreed == 0
    assert report.differences == []
    checked = {check.aspect: check.checked for check in report.checks}
    assert min(checked.values()) > 1000
    assert report.accesses > 50_000
    assert hashlib.sha256(Path(menu_guest_4.ram).read_bytes()).digest() == before


@pytest.mark.qemu
def test_a_wrong_rule_is_told_with_the_changed_entry(
    menu_guest_4: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_ADDRESSES", 32)
    report = changed(menu_guest_4, right("user", fold=Fold.LEAF))
    assert report.disagreed > 100
    names = {name for one in report.differences for name, _, _ in one.path}
    assert any("bit 2 of level" in name for name in names)
    assert all(one.reproduce.startswith("ptlive selftest") for one in report.differences)


@pytest.mark.qemu
def test_a_guest_whose_cpu_has_no_keys_is_not_given_pkru() -> None:
    """To load it the prober would have to set CR4.PKE, at which such a CPU faults."""
    machine = Machine(levels=4, extra=("-cpu", "max,-la57,-pku"))
    with launch.temporary(recipe("menu"), machine) as guest, attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        assert fork_of(target, space, guest).control.pkru == 0


def test_patched_memory_shows_the_words_and_all_else_as_it_is() -> None:
    memory = PlainRam(1 << 14, entries={0x1000: 1, 0x1008: 2, 0x2FF8: 3})
    seen = patched(memory, {0x1008: 20, 0x2FF8: 30, 0x9000: 90})
    pages = np.array([0x0, 0x1000, 0x2000, 0x9000], dtype=np.uint64)
    data, valid = seen.read(pages, 0x1000)
    words = data.view("<u8")
    assert valid.tolist() == [True, True, True, False]
    assert words[1, :2].tolist() == [1, 20]
    assert words[2, 511] == 30
    assert not words[0].any()
    assert memory.value(0x1008) == 2
