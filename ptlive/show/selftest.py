"""A selftest's report, in text and for JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ptlive.show import words
from ptlive.show.report import checks_json, quirks_json
from ptlive.show.terminal import columns, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from ptlive.analysis.report import Quirk
    from ptlive.analysis.selftest import BenchReport, RuleDifference, SelftestReport

_HEADER = ("  property", "checked", "agreed", "disagreed")
SHOWN = 10


def lines(report: SelftestReport) -> Iterator[str | Text]:
    """Yield the report: each bench, what could not be checked, quirks, differences, the verdict."""
    rows = [
        (f"  {check.aspect}", *(f"{n:,}" for n in (check.checked, check.agreed, check.disagreed)))
        for bench in report.benches
        for check in bench.checks
    ]
    header, *table = columns(_HEADER, rows, " >>>")
    yield header
    for bench in report.benches:
        asked = f"{bench.addresses:,} addresses, {bench.accesses:,} accesses"
        yield f"{bench.levels} levels, {bench.cpu}: {asked}"
        yield from table[: len(bench.checks)]
        del table[: len(bench.checks)]
    unchecked: Counter[str] = Counter()
    quirks: Counter[Quirk] = Counter()
    for bench in report.benches:
        quirks += bench.quirks
        for check in bench.checks:
            unchecked += check.unchecked
    for reason, count in unchecked.most_common():
        yield f"  {count:,} unchecked: {reason}"
    for quirk, count in quirks.most_common():
        yield f"  quirk of {quirk.accelerator}, {count:,} times: {quirk.name}: {quirk.reason}"
        yield f"    {quirk.cite}"
    told = [(bench, one) for bench in report.benches for one in bench.differences]
    for bench, difference in told[:SHOWN]:
        yield from _difference(bench, difference)
    if len(told) > SHOWN:
        yield f"... {len(told) - SHOWN:,} more told by --json"
    text = f"{words.count(report.disagreed, 'disagreement')} in {report.accesses:,} accesses"
    yield verdict(
        f"{text}, answered by {report.answered_by} (QEMU {report.version}), "
        f"seed {report.seed}, {report.seconds:.1f} s",
        good=not report.disagreed,
    )


def _difference(bench: BenchReport, difference: RuleDifference) -> Iterator[str | Text]:
    where = "" if difference.va is None else f"{words.address(difference.va)}, "
    yield verdict(
        f"disagreement, {bench.levels} levels: {where}{difference.access}, {difference.aspect}",
        good=False,
    )
    yield f"  controls    {difference.controls}"
    yield f"  rules say   {difference.predicted}"
    yield f"  the MMU did {difference.observed}"
    for name, address, entry in difference.path:
        yield f"  {address:#x}: {entry:#018x}  {name}"
    yield f"  ask again: {difference.reproduce}"


def as_json(report: SelftestReport) -> dict[str, Any]:
    """Return the report as the JSON of `ptlive.selftest/1` has it."""
    return {
        "schema": "ptlive.selftest/1",
        "answered_by": report.answered_by,
        "version": report.version,
        "seed": report.seed,
        "accesses": report.accesses,
        "disagreed": report.disagreed,
        "benches": [_bench_json(bench, report.version) for bench in report.benches],
        "seconds": round(report.seconds, 3),
    }


def _bench_json(bench: BenchReport, version: str) -> dict[str, Any]:
    return {
        "levels": bench.levels,
        "cpu": bench.cpu,
        "addresses": bench.addresses,
        "accesses": bench.accesses,
        "checks": checks_json(bench.checks),
        "quirks": quirks_json(bench.quirks, version),
        "disagreements": [
            {
                "property": difference.aspect,
                "va": None if difference.va is None else words.address(difference.va),
                "access": difference.access,
                "controls": difference.controls,
                "predicted": difference.predicted,
                "observed": difference.observed,
                "path": [
                    {"variant": name, "entry_pa": hex(address), "entry": hex(entry)}
                    for name, address, entry in difference.path
                ],
                "reproduce": difference.reproduce,
            }
            for difference in bench.differences
        ],
    }
