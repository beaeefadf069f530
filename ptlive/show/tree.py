"""The tree of a root's tables, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.paging import fields, rights
from ptlive.paging.fields import size_name
from ptlive.paging.format import Kind
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ptlive.analysis.tree import Run
    from ptlive.paging.format import Format

_INDENT = "  "


def lines(fmt: Format, runs: Iterable[Run], targets: Sequence[str]) -> Iterator[str]:
    """Yield a line for each run of entries, indented by its level."""
    # Indices of the widest level, as 508..511.
    width = 2 * len(str((1 << max(level.index_bits for level in fmt.levels)) - 1)) + 2
    for run in runs:
        name = fmt.level(run.lvl).spec
        index = str(run.first) if run.first == run.last else f"{run.first}..{run.last}"
        yield (
            f"{_INDENT * run.depth}{name} {index.ljust(width)}  {words.address(run.va, fmt)}.."
            f"{words.address(run.last_va, fmt)}  {_what(fmt, run, targets)}"
        ).rstrip()


def _what(fmt: Format, run: Run, targets: Sequence[str]) -> str:
    """Return what a run of entries is."""
    at = f"{run.refers_to:#x}"
    if run.kind is Kind.LEAF:
        more = "" if run.entries == 1 or run.contiguous else (" each" if run.same else " ...")
        return "  ".join(
            one
            for one in (
                f"{run.entries} x {size_name(run.bits)}",
                words.rights(fmt, rights.names(fmt, run.rights)),
                words.attributes(fields.unpack_attributes(fmt, run.attributes)),
                f"{targets[run.target]} {at}{more}",
            )
            if one
        )
    if run.kind is not Kind.TABLE:
        return f"{run.kind.name.lower()}: {at}"
    return f"{_tables(run, at)}, {words.count(run.leaves, 'page')}{_again(run)}"


def _tables(run: Run, at: str) -> str:
    if run.entries == 1:
        return f"table {at}"
    return f"table {at} x{run.entries}" if run.same else f"{run.entries} tables {at} ..."


def _again(run: Run) -> str:
    """Return what is to be said of a table that several paths reach."""
    if run.again:
        return ", as above"
    return f", reached by {run.paths:,} paths" if run.paths > 1 and run.same else ""


def as_json(fmt: Format, runs: Iterable[Run], targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the runs as JSON has them, depth first; `depth` says what is below what."""
    for run in runs:
        level = fmt.level(run.lvl)
        one: dict[str, Any] = {
            "depth": run.depth,
            "level": run.lvl,
            "name": words.level_names(level),
            "first": run.first,
            "last": run.last,
            "va": words.address(run.va),
            "last_va": words.address(run.last_va),
            "kind": run.kind.name.lower(),
            "entries": run.entries,
            "pa": hex(run.refers_to),
            "same": run.same,
            "contiguous": run.contiguous or run.entries == 1,
            "leaves": run.leaves,
        }
        if run.kind is Kind.LEAF:
            one["size"] = size_name(run.bits)
            one["rights"] = rights.names(fmt, run.rights)
            one["attributes"] = fields.unpack_attributes(fmt, run.attributes)
            one["target"] = targets[run.target]
        elif run.kind is Kind.TABLE:
            one |= {"paths": run.paths, "again": run.again, "cut": run.cut}
        yield one
