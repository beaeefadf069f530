"""A verification, and what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.access_kind import ACCESS_KINDS
from ptlive.api.shown import ROWS, Shown, Table
from ptlive.errors import PtliveError
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ptlive import space as inner
    from ptlive.analysis import report as analysis
    from ptlive.analysis.report import Check, Disagreement
    from ptlive.api.held import Held
    from ptlive.arrays import U64
    from ptlive.paging.format import Format

_CHECKS = ("oracle", "answered by", "property", "checked", "agreed", "disagreed", "unchecked")
_DISAGREEMENTS = ("address", "access", "property", "predicted", "observed", "oracle")


class Report(Shown):
    """A verification: how much each oracle was asked, and what disagreed.

    ok: nothing disagreed, and every property that was asked for was checked
    checks: per oracle and property: oracle, answered_by, aspect, checked, agreed, disagreed,
        unchecked (how many, by reason)
    disagreements: va, access, oracle, aspect, predicted, observed, path, reproduce (a command)
    quirks: known deviations of QEMU that were met, with how often
    notes: what the reader must know; seconds: how long it took
    """

    def __init__(self, fmt: Format, report: analysis.Report, notes: tuple[str, ...]) -> None:
        self._fmt, self._report = fmt, report
        self.checks: tuple[Check, ...] = tuple(report.checks)
        self.disagreements: tuple[Disagreement, ...] = tuple(report.disagreements)
        self.quirks: dict[str, int] = {one.name: count for one, count in report.quirks.items()}
        self.notes = (*notes, *report.notes)
        self.seconds = report.seconds

    @property
    def ok(self) -> bool:
        """Whether nothing disagreed, and every property that was asked for was checked."""
        return not self.disagreed and not self.never_checked

    def __bool__(self) -> bool:
        return self.ok

    @property
    def checked(self) -> int:
        """How many answers were compared."""
        return sum(check.checked for check in self.checks)

    @property
    def disagreed(self) -> int:
        """How many of them disagreed."""
        return self._report.disagreed

    @property
    def never_checked(self) -> tuple[Check, ...]:
        """The properties that were asked for and not checked once."""
        return tuple(self._report.never_checked)

    def _title(self) -> str:
        text = f"{words.count(self.disagreed, 'disagreement')} in {self.checked:,} checks"
        never = ", ".join(f"{check.oracle} {check.aspect}" for check in self.never_checked)
        return f"{text}; never checked: {never}" if never else text

    def _content(self) -> Iterator[str | Table]:
        rows = [_row(check) for check in self.checks if check.asked]
        yield Table(_CHECKS, rows, "   >>>>")
        reasons = {why for check in self.checks for why, count in check.unchecked.items() if count}
        for why in sorted(reasons):
            counts = {check.aspect: check.unchecked[why] for check in self.checks}
            told = ", ".join(f"{count:,} {aspect}" for aspect, count in counts.items() if count)
            yield f"unchecked: {told}: {why}"
        for quirk, count in self._report.quirks.items():
            yield f"quirk of {quirk.accelerator}, {count:,} times: {quirk.name}: {quirk.reason}"
        yield from (f"note: {note}" for note in self.notes)
        if self.disagreements:
            some = [_disagreement(one) for one in self.disagreements[:ROWS]]
            yield Table(_DISAGREEMENTS, some, "", len(self.disagreements) - len(some))


def _row(check: Check) -> tuple[str, ...]:
    unchecked = sum(check.unchecked.values())
    counts = (check.checked, check.agreed, check.disagreed, unchecked)
    return (check.oracle, check.answered_by, check.aspect, *(f"{count:,}" for count in counts))


def _disagreement(one: Disagreement) -> tuple[str, ...]:
    where = words.address(one.va)
    return (where, one.access or "", one.aspect, one.predicted, one.observed, one.oracle)


def verified(
    held: Held,
    space: inner.AddressSpace,
    *,
    ranges: tuple[U64, U64] | None,
    addresses: U64 | None,
    accesses: Collection[str],
    oracles: tuple[str, ...],
    random: int | None,
    each_frame: bool,
    probes: int,
    seed: int,
) -> Report:
    """Ask the oracles; see `AddressSpace.verify`."""
    from ptlive.verify.choice import choose
    from ptlive.verify.run import ORACLES, STRAYS, Plan, verify

    for known, names in ((ACCESS_KINDS, accesses), (ORACLES, oracles)):
        for name in names:
            if name not in known:
                raise PtliveError(f"{name!r} is none of {', '.join(known)}")
    if ranges is not None and addresses is not None:
        raise PtliveError("verify takes addresses or ranges, not both")
    choice = choose(oracles, held.target, [space], held.running)
    plan = Plan(
        oracles=choice.oracles,
        kinds=[ACCESS_KINDS[name] for name in accesses or ACCESS_KINDS],
        ranges=ranges,
        va=addresses,
        probes=probes,
        seed=seed,
        strays=STRAYS if random is None else random,
        each_frame=each_frame,
        guest=held.running,
        ram=choice.ram,
        version=choice.version,
    )
    (asked,) = choice.spaces
    report = verify(held.target, asked, plan)
    return Report(asked.format, report, tuple(text for _, text in choice.notes))
