"""A record held against rules: what they predict otherwise than the MMU did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.oracle.twin import fork as registers
from ptlive.oracle.twin.paint import NO_FRAME
from ptlive.paging.access import ALLOWED
from ptlive.paging.control import controls
from ptlive.paging.format import Kind
from ptlive.paging.formats import x86_64
from ptlive.verify.agreement import Agreement, agreement
from ptlive.verify.selftest.tables import HOME, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.access import Verdicts
    from ptlive.paging.translate import Translations
    from ptlive.verify.selftest.record import Record, Trial
    from ptlive.verify.selftest.rules import Rules

#: Accessed and dirty (SDM vol. 3A 4.8).
A, D = 1 << 5, 1 << 6


@dataclass(frozen=True, eq=False)
class Judgement:
    """One trial judged.

    translations: of all the record's addresses; rows: which of them the other columns
    are of; entries: physical
    addresses of table entries that the MMU left otherwise than predicted, by what
    differs: "accessed", "dirty", "entries"; entries_checked: how many were compared
    """

    record: Record
    trial: Trial
    translations: Translations
    rows: Index
    verdicts: Verdicts
    agreement: Agreement
    entries: dict[str, U64]
    entries_checked: dict[str, int]

    def wrong(self) -> dict[str, Index]:
        """Return which of the record's addresses disagree, by what differs."""
        found = self.agreement
        counted = found.asked & ~found.explained
        return {
            "fault": self.rows[~found.fault & counted],
            "cr2": self.rows[~found.cr2],
            "frame": self.rows[~found.frame],
        }

    @property
    def agrees(self) -> bool:
        """Whether all that was predicted came true."""
        differ = [*self.wrong().values(), *self.entries.values()]
        return not any(len(one) for one in differ)


def judge(record: Record, rules: Rules) -> Iterator[Judgement]:
    """Hold a record against rules, a trial at a time."""
    translated: dict[bool, tuple[Translations, U64, Bool]] = {}
    for trial in record.trials:
        nxe = bool(trial.control.efer & registers.EFER_NXE)
        if nxe not in translated:
            translated[nxe] = _translate(record, rules, nxe)
        yield _judge(record, rules, trial, translated[nxe])


def _translate(record: Record, rules: Rules, nxe: bool) -> tuple[Translations, U64, Bool]:
    """Translate all addresses; return the named frames they lead to, and what wants 1G pages."""
    cpu, tables = record.cpu, record.tables
    fmt = rules.make_format(tables.levels, maxphyaddr=cpu.maxphyaddr, nxe=nxe, gbpages=cpu.gbpages)
    root = np.array([tables.root], dtype=np.uint64)
    found = rules.translate(fmt, tables.memory, root, record.va)
    named = found.mapped & np.isin(found.pa, record.names)
    page1gb = np.zeros(len(record.va), dtype=np.bool_)
    if not cpu.gbpages:
        for row in np.flatnonzero(found.kind == Kind.MALFORMED).tolist():
            page1gb[row] = x86_64.needs_page1gb(fmt, int(found.lvl[row]), int(found.entry[row]))
    return found, np.where(named, found.pa, NO_FRAME), page1gb


def _judge(
    record: Record,
    rules: Rules,
    trial: Trial,
    translated: tuple[Translations, U64, Bool],
) -> Judgement:
    translations, arrive, page1gb = translated
    control, kind = trial.control, trial.kind
    rows = record.rows(kind)
    set_ = controls(control.cr0, control.cr4, control.efer, pkru=control.pkru)
    every = rules.check(translations, set_, kind)
    verdicts = type(every)(every.vector[rows], every.error_code[rows])
    write = kind.access is Access.WRITE
    found = agreement(
        verdicts,
        trial.answers,
        record.va[rows] + np.uint64(HOME if write else NAME),
        arrive[rows],
        record.arrive[rows],
        record.cpu.by,
        page1gb[rows],
    )
    allowed = np.zeros(len(record.va), dtype=np.bool_)
    allowed[rows] = verdicts.vector == ALLOWED
    used, dirty = rules.marks(translations, allowed, write)
    # What nothing was predicted of, or happened for a known reason, marks as no rule says.
    loose = np.zeros_like(allowed)
    loose[rows] = ~found.asked | (found.explained & trial.answers.allowed)
    spared = [step.entry_pa[loose[step.row]] for step in translations.steps]
    failed = np.zeros_like(allowed)
    failed[rows] = verdicts.vector != ALLOWED
    touched = [step.entry_pa[failed[step.row]] for step in translations.steps]
    wrong, checked = _entries(record, trial, used, dirty, touched, spared)
    return Judgement(record, trial, translations, rows, verdicts, found, wrong, checked)


def _entries(
    record: Record, trial: Trial, used: U64, dirty: U64, touched: list[U64], spared: list[U64]
) -> tuple[dict[str, U64], dict[str, int]]:
    """Compare the tables with what accesses must have made of them.

    used, dirty: entries that must have A and D now; touched: entries on the way of
    accesses that fail, which may have marked them with A (SDM vol. 3A 4.8 leaves
    that open); spared: entries of which nothing is said
    """
    address, before, after = record.tables.address, record.tables.value, trial.after
    is_present = (before & np.uint64(1)) != 0
    said = is_present & ~np.isin(address, np.concatenate([np.zeros(0, np.uint64), *spared]))
    must = np.isin(address, used)
    may = np.isin(address, np.concatenate([np.zeros(0, np.uint64), *touched]))
    had_a, has_a = (before & np.uint64(A)) != 0, (after & np.uint64(A)) != 0
    had_d, has_d = (before & np.uint64(D)) != 0, (after & np.uint64(D)) != 0
    differs = {
        "accessed": np.where(must, ~has_a, has_a & ~had_a & ~may) | (had_a & ~has_a),
        "dirty": has_d != (had_d | np.isin(address, dirty)),
        "entries": ((before ^ after) & np.uint64(~(A | D) & (1 << 64) - 1)) != 0,
    }
    wrong = {aspect: address[wrong & said] for aspect, wrong in differs.items()}
    return wrong, dict.fromkeys(differs, int(said.sum()))
