"""A record that was tampered with disagrees, just there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.access_kind import Access
from ptlive.verify.selftest import addresses
from ptlive.verify.selftest.bench import bench
from ptlive.verify.selftest.judge import judge
from ptlive.verify.selftest.record import Cpu, record
from ptlive.verify.selftest.rules import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.verify.selftest.judge import Judgement
    from ptlive.verify.selftest.record import Record, Trial

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def taken() -> Iterator[Record]:
    cpu = Cpu(40)
    with bench(4, 0) as made:
        va = np.unique(addresses.singles(made))
        yield record(made, cpu, va, cpu.controls(4)[-1:])


def judged(taken: Record, trial: Trial) -> Judgement:
    (one,) = judge(replace(taken, trials=[trial]), OURS)
    return one


def trial_of(taken: Record, access: Access) -> Trial:
    return next(trial for trial in taken.trials if trial.kind.access is access)


def test_as_it_was_all_agrees(taken: Record) -> None:
    assert all(one.agrees for one in judge(taken, OURS))


def test_each_kind_of_access_was_made_and_some_of_each_happened(taken: Record) -> None:
    assert len(taken.trials) == 8
    assert all(trial.answers.allowed.any() for trial in taken.trials)


@pytest.mark.parametrize("access", list(Access))
def test_another_outcome_is_told_at_its_address(taken: Record, access: Access) -> None:
    trial = trial_of(taken, access)
    vector = trial.answers.vector.copy()
    at = int(np.flatnonzero(vector == 0)[7])
    vector[at] = 14
    wrong = judged(taken, replace(trial, answers=replace(trial.answers, vector=vector))).wrong()
    assert wrong["fault"].tolist() == [taken.rows(trial.kind)[at]]


def test_another_cr2_is_told(taken: Record) -> None:
    trial = trial_of(taken, Access.READ)
    value = trial.answers.value.copy()
    at = int(np.flatnonzero(trial.answers.vector == 14)[3])
    value[at] ^= np.uint64(0x1000)
    wrong = judged(taken, replace(trial, answers=replace(trial.answers, value=value))).wrong()
    assert wrong["cr2"].tolist() == [at]
    assert not len(wrong["fault"])


def test_another_frame_is_told(taken: Record) -> None:
    trial = trial_of(taken, Access.READ)
    value = trial.answers.value.copy()
    happened = trial.answers.allowed & (taken.arrive != np.uint64(2**64 - 1))
    at = int(np.flatnonzero(happened)[3])
    value[at] += np.uint64(1 << 8)  # the next frame's name
    wrong = judged(taken, replace(trial, answers=replace(trial.answers, value=value))).wrong()
    assert wrong["frame"].tolist() == [at]


def test_a_write_that_landed_elsewhere_is_told(taken: Record) -> None:
    trial = trial_of(taken, Access.WRITE)
    value = trial.answers.value.copy()
    at = int(np.flatnonzero(trial.answers.landed)[3])
    value[at] = 0
    wrong = judged(taken, replace(trial, answers=replace(trial.answers, value=value))).wrong()
    assert wrong["frame"].tolist() == [at]


@pytest.mark.parametrize(
    ("bit", "aspect"), [(1 << 5, "accessed"), (1 << 6, "dirty"), (1 << 9, "entries")]
)
def test_another_mark_in_a_table_is_told(taken: Record, bit: int, aspect: str) -> None:
    trial = trial_of(taken, Access.READ)
    present = (taken.tables.value & np.uint64(1)) != 0
    both_clear = present & ((trial.after & np.uint64(1 << 6 | 1 << 9)) == 0)
    both_clear &= (trial.after & np.uint64(1 << 5)) != 0  # accessed, as foretold
    at = int(np.flatnonzero(both_clear)[5])
    after = trial.after.copy()
    after[at] ^= np.uint64(bit)
    entries = judged(taken, replace(trial, after=after)).entries
    assert {name: found.tolist() for name, found in entries.items() if len(found)} == {
        aspect: [int(taken.tables.address[at])]
    }
