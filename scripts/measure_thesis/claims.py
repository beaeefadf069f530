"""The claims of the article, a row each: how it is shown, by what command, and the figure."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from scripts.measure_thesis import proofs
from scripts.measure_thesis.counts import Count
from scripts.measure_thesis.figures import rows
from scripts.measure_thesis.objects import RECURSIVE
from scripts.measure_thesis.sources import COMPAT, LEVELS, OPERATIONS, WAYS
from scripts.measure_thesis.tables import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Figure = Callable[[dict[str, Any], str], str]

_COMPLEXITY = itemgetter(3)  # of a function, as JSON has it


def claims(figures: dict[str, Any]) -> str:
    """Return the table of all claims."""
    return table(["claim", "how shown", "command", "figure"], _rows(figures))


def _rows(figures: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    passed = {row["command"].removeprefix("pytest "): row["passed"] for row in figures["proofs"]}

    def both(claim: str, shown: str, figure: Figure) -> tuple[str, str, str, str]:
        said = "; ".join(f"{way}: {figure(figures, way)}" for way in WAYS)
        return claim, shown, "`scripts/thesis`", said

    def one(claim: str, shown: str, figure: str) -> tuple[str, str, str, str]:
        return claim, shown, "`scripts/thesis`", figure

    def proof(claim: str, shown: str, tests: str) -> tuple[str, str, str, str]:
        return claim, shown, f"`pytest {tests}`", f"{passed[tests]} passed"

    yield both(
        'The levels "look quite similar, but each is coded separately"',
        "functions of the five operations, shared helpers apart",
        _own,
    )
    yield both(
        '... "repetitive code"',
        "lines of code, helpers and all; of these, what another level's function has too, "
        "but for the names",
        _lines,
    )
    yield proof(
        "Both ways do the same",
        "random operations: tables, answers and flushes are equal bit by bit, and a model's",
        proofs.ALIKE,
    )
    yield proof("... on a live MMU", "the same in a guest, by executed accesses", proofs.LIVE)
    yield proof("... and the judge would notice", "planted defects are found", proofs.DEFECTS)
    yield both('"Unneeded layers are compiled out"', "bytes of code at 3, 4 and 5 levels", _bytes)
    yield both(
        "One function replaces the five",
        "functions that call themselves; whether one object does for 3, 4 and 5 levels",
        _recursion,
    )
    yield one(
        'It would "become somewhat more complex"',
        "cyclomatic complexity: the one function; the worst of unmap's cascade, and of all",
        _complexity(figures),
    )
    yield both(
        '"And, presumably, the resulting code would be cleaner"',
        "the complexity of all functions together, and how many there are",
        _sum,
    )
    yield both(
        'Recursion eats stack, but is "strictly bounded"',
        "stack at 5 levels, painted: the most of the five operations; the compiler's bound",
        _stack,
    )
    yield proof(
        "A compatibility layer lets one opt in",
        "32 mixtures of old and new, the same operations: identical tables, flushes and answers",
        proofs.MIXTURES,
    )
    yield one(
        "... without a flag day",
        "lines of the layer; instructions that it adds to one page",
        _compat(figures),
    )
    side = figures["ptlive"]
    yield one(
        'It would "touch every architecture"',
        "lines of each format that joined ptlive's one walk; lines of the walk that changed",
        f"{_range(side['formats'])}; {_changed(side['walk']['changed'])}",
    )
    yield proof(
        "... which the walk need not know", "no name of any format is in the walker", proofs.NAMES
    )
    yield both(
        '"Pages of different sizes" are dealt with "more gracefully"',
        "functions that are there for one size of large page",
        _sizes,
    )
    yield both(
        'Special cases of the top table "would mostly go away"',
        "lines that treat the top or a folded level specially, at 3 / 4 / 5 / 6 levels",
        _special,
    )
    yield both(
        'Six levels take "a sixth layer of functions"',
        "the patches: lines in and out, functions more",
        _six,
    )
    yield proof(
        "... and both work", "random operations on six levels, judged by software", proofs.SIX
    )
    yield both(
        '"Would this change be worth it?" What it costs is not in the article',
        "instructions for each of 4096 pages of 4K side by side",
        lambda figures, way: _each(rows(figures, way, 5)),
    )
    more = figures["experiments"][-1]
    yield one(
        "... and could cost, the same text compiled for each level and operation",
        "the same, and bytes of code",
        f"{_each([Count(*row) for row in more['rows']])}; {more['bytes']:,} bytes",
    )


def _own(figures: dict[str, Any], way: str) -> str:
    parts = figures["source"][way]["5"]
    return str(sum(len(parts[operation]["functions"]) for operation in OPERATIONS))


def _lines(figures: dict[str, Any], way: str) -> str:
    lines = sum(part["lines"] for part in figures["source"][way]["5"].values())
    return f"{lines:,}, {figures['repeated'][way]} of them"


def _bytes(figures: dict[str, Any], way: str) -> str:
    by_levels = [figures["objects"][way][str(levels)].values() for levels in LEVELS[:3]]
    return " / ".join(f"{sum(part['bytes'] for part in parts):,}" for parts in by_levels)


def _recursion(figures: dict[str, Any], way: str) -> str:
    calls = f"`{RECURSIVE}`" if way == "new" else "none"
    return f"{calls}, {'one object' if figures['same_object'][way] else 'an object for each'}"


def _complexity(figures: dict[str, Any]) -> str:
    walk = next(one for one in _functions(figures, "new") if one[0] == RECURSIVE)
    cascade = figures["source"]["old"]["5"]["unmap"]["functions"]
    worst = (max(every, key=_COMPLEXITY) for every in (cascade, _functions(figures, "old")))
    return ", ".join(f"`{one[0]}` {_COMPLEXITY(one)}" for one in (walk, *worst))


def _sum(figures: dict[str, Any], way: str) -> str:
    every = _functions(figures, way)
    return f"{sum(map(_COMPLEXITY, every))} in {len(every)}"


def _functions(figures: dict[str, Any], way: str) -> list[list[Any]]:
    return [one for part in figures["source"][way]["5"].values() for one in part["functions"]]


def _stack(figures: dict[str, Any], way: str) -> str:
    one = figures["counts"][way]["5"]
    return f"{max(one['stack'].values()):,} of {max(one['bound'].values()):,} bytes"


def _compat(figures: dict[str, Any]) -> str:
    costs = {
        way: {r.operation: r.instructions for r in rows(figures, way, 5) if r[1:3] == ("length", 1)}
        for way in ("new", COMPAT)
    }
    more = ", ".join(f"{op} {costs[COMPAT][op] - costs['new'][op]:+}" for op in OPERATIONS)
    return f"{figures['compat_lines']} lines; {more}"


def _range(formats: dict[str, Any]) -> str:
    lines = sorted((one["lines"], name) for name, one in formats.items())
    return f"{lines[0][0]} ({lines[0][1]}) to {lines[-1][0]} ({lines[-1][1]}), {len(lines)} files"


def _changed(changed: int | None) -> str:
    return "unknown without git" if changed is None else f"{changed} lines of the walk"


def _sizes(figures: dict[str, Any], way: str) -> str:
    parts = figures["source"][way]["5"].values()
    names = [function[0] for part in parts for function in part["functions"]]
    return str(sum("_huge" in name for name in names))


def _special(figures: dict[str, Any], way: str) -> str:
    return " / ".join(str(len(figures["special"][way][str(levels)])) for levels in LEVELS)


def _six(figures: dict[str, Any], way: str) -> str:
    one = figures["six"][way]
    return f"+{one['added']} -{one['removed']}, {len(one['functions'])} functions"


def _each(counted: list[Count]) -> str:
    found = {r.operation: r for r in counted if r[1:3] == ("length", 4096)}
    each = (f"{op} {found[op].instructions / found[op].leaves:.0f}" for op in OPERATIONS)
    return ", ".join(each)
