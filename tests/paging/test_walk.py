"""The contract of the walk: how it recurses, what it reads, what a visitor sees."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging import walk as walk_module
from ptlive.paging.format import Format, Kind
from ptlive.paging.walk import PtPtr, walk
from tests.paging import listing
from tests.paging.builder import Builder
from tests.paging.formats.every import FORMATS
from tests.paging.tables import PS, PWU, P

if TYPE_CHECKING:
    from ptlive.arrays import U8
    from ptlive.paging.graph import Entries

TOP = 0xFFFF_FFFF_8000_0000


@dataclass
class Recorder:
    """Record the steps of a walk, and how many calls of `descend` are on the stack."""

    steps: list[tuple[str, int]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    seen: list[tuple[PtPtr, Entries, U8 | None]] = field(default_factory=list)

    def enter(self, tables: PtPtr, entries: Entries, kinds: U8) -> None:
        """See a level before those below it."""
        self.steps.append(("enter", tables.lvl))
        self.seen.append((tables, entries, kinds))
        frame, depth = sys._getframe(), 0
        while frame.f_back:
            frame = frame.f_back
            depth += frame.f_code.co_name == "descend"
        self.depth.append(depth)

    def leave(self, tables: PtPtr, entries: Entries) -> None:
        """See a level after those below it."""
        self.steps.append(("leave", tables.lvl))


def many(levels: int) -> Builder:
    """Build tables of all levels in both halves, two at each level below the root."""
    built = Builder(levels)
    for va in (0x1000, 0x7FFF_0000_0000, TOP, TOP + (1 << 30), TOP + 0x1000):
        built.map(va, 0x5000_0000 | PWU)
    return built


@pytest.mark.parametrize("levels", [4, 5])
def test_the_recursion_is_as_deep_as_the_format_has_levels(levels: int) -> None:
    built, recorder = many(levels), Recorder()
    walk(built.fmt, built.ram, built.roots, visitor=recorder)
    down = list(range(levels, 0, -1))
    assert recorder.steps == [("enter", n) for n in down] + [("leave", n) for n in down[::-1]]
    assert recorder.depth == list(range(1, levels + 1))


def test_a_table_that_refers_to_itself_recurses_no_deeper() -> None:
    built, recorder = Builder(5, frames=1), Recorder()
    built.ram.table(built.root)[:] = built.root | PWU
    walk(built.fmt, built.ram, built.roots, visitor=recorder)
    assert recorder.depth == [1, 2, 3, 4, 5]


def test_a_walk_ends_where_there_are_no_more_tables() -> None:
    built, recorder = Builder(5), Recorder()
    built.map(0, 0x4000_0000 | PWU | PS, level=3)
    walk(built.fmt, built.ram, built.roots, visitor=recorder)
    assert recorder.depth == [1, 2, 3]


@pytest.mark.parametrize("levels", [4, 5])
def test_each_level_is_one_batch_that_reads_each_table_once(levels: int) -> None:
    built = many(levels)
    # Share tables and let a level refer to the root, so that there is something to repeat.
    built.map(0x2000_0000_0000, built.root | PWU, level=levels - 1)
    built.map(0x2080_0000_0000, built.root | P, level=levels - 1)
    walk(built.fmt, built.ram, built.roots)
    assert len(built.ram.reads) == levels
    for addresses, length in built.ram.reads:
        assert len(addresses) == len(set(addresses))
        assert length == 4096


def test_a_million_addresses_are_one_batch_a_level_too() -> None:
    built = many(5)
    va = np.random.default_rng(1).integers(0, 1 << 64, 10_000, dtype=np.uint64)
    walk(built.fmt, built.ram, built.roots, (va, va))
    assert len(built.ram.reads) <= 5


def test_only_what_is_in_range_is_read() -> None:
    built = many(5)
    walk(built.fmt, built.ram, built.roots, (u64(0x1000), u64(0x1000)))
    assert [len(addresses) for addresses, _ in built.ram.reads] == [1] * 5
    built.ram.reads.clear()
    # Nothing but addresses in the gap between the halves: nothing to read at all.
    graph = walk(built.fmt, built.ram, built.roots, (u64(1 << 60), u64((1 << 60) + 1)))
    assert built.ram.reads == []
    assert (graph.tables, graph.leaves, graph.reached(Kind.ABSENT)) == (0, 0, 0)


def test_an_unreadable_root_is_an_error_that_names_it() -> None:
    built = many(5)
    for root in (0x7000_0000, 1 << 51, (1 << 64) - 4096):
        with pytest.raises(PtliveError, match=f"the root table {root:#x} lies in no RAM"):
            walk(built.fmt, built.ram, u64(built.root, root))


def test_an_unreadable_table_is_a_hole_that_says_so() -> None:
    built = Builder(5)
    place = built.map(TOP, 0x000F_FFFF_FFFF_F000 | PWU, level=3)
    built.map(TOP + (1 << 30), built.table() | PWU, level=3)  # one that is readable, and empty
    graph = walk(built.fmt, built.ram, built.roots)
    assert graph.reached(Kind.UNREADABLE) == graph.count(Kind.UNREADABLE) == 1
    holes = [row for row in listing.holes(graph) if row[5] == "unreadable"]
    entry = 0x000F_FFFF_FFFF_F000 | PWU
    assert holes == [(TOP, TOP + (1 << 30) - 1, 3, place, entry, "unreadable")]
    assert graph.tables == 4  # it is not counted


def test_a_frame_half_in_ram_is_unreadable() -> None:
    built = Builder(5, frames=8)
    built.ram.data = built.ram.data[: 8 * 4096 - 8]
    built.map(TOP, (built.root + 7 * 4096) | PWU, level=2)
    assert walk(built.fmt, built.ram, built.roots).count(Kind.UNREADABLE) == 1


def test_a_visitor_sees_entries_with_their_kinds_and_places() -> None:
    built, recorder = many(5), Recorder()
    place = built.map(TOP + 0x3000, 0x6000_0000 | PWU)
    walk(built.fmt, built.ram, built.roots, (u64(TOP + 0x2800), u64(TOP + 0x3800)), recorder)
    tables, entries, kinds = recorder.seen[-1]
    assert isinstance(tables.ptr, np.ndarray)
    assert tables.ptr.tolist() == [place & ~4095]
    assert entries.value.tolist() == [0, 0x6000_0000 | PWU]
    assert entries.index.tolist() == [2, 3]
    assert entries.node.tolist() == [0, 0]
    assert entries.whole.tolist() == [False, False]
    assert kinds is not None
    assert kinds.tolist() == [Kind.ABSENT, Kind.LEAF]


def test_tables_are_told_apart_by_identity_and_print_briefly() -> None:
    one, other = PtPtr(u64(0x1000), 2), PtPtr(u64(0x1000), 2)
    assert one != other
    assert one == one
    assert str(one) == "level 2 at 0x1000"
    assert str(PtPtr(u64(*range(0, 0x6000, 0x1000)), 1)).endswith("0x3000, ... 6 in all")


def test_a_range_that_ends_before_it_begins_holds_nothing() -> None:
    built = many(5)
    graph = walk(built.fmt, built.ram, built.roots, (u64(TOP + 4096), u64(TOP)))
    assert graph.reached(*Kind) == 0


SOURCE = Path(walk_module.__file__)


def code_of(path: Path) -> list[tokenize.TokenInfo]:
    """Return a file's tokens without comments and docstrings."""
    text = path.read_text()
    docstrings = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    }
    return [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type != tokenize.COMMENT
        and not (token.type == tokenize.STRING and token.start[0] in docstrings)
    ]


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize(
    "name", ["walk", "decode", "nodes", "graph", "paths", "reach", "rights", "translate"]
)
def test_no_part_of_the_walker_names_what_a_format_names(name: str, fmt: Format) -> None:
    names = {level.spec for level in fmt.levels} | {level.linux for level in fmt.levels}
    names |= {right.name for right in fmt.rights} | {fmt.name}
    names |= {f.name for level in fmt.levels for f in level.fields}
    words = set()
    for token in code_of(SOURCE.with_name(f"{name}.py")):
        if token.type in (tokenize.NAME, tokenize.STRING):
            words |= set(re.findall(r"[A-Za-z0-9_/-]+", token.string))
    assert not words & names


def test_the_walk_has_no_mask_and_no_level_number() -> None:
    numbers = {token.string for token in code_of(SOURCE) if token.type == tokenize.NUMBER}
    # One entry, the level below, and how many tables are printed.
    assert numbers <= {"0", "1", "4"}
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not any("formats" in (module or "") for module in imported)


def test_one_function_recurses() -> None:
    calls = {
        node.name: {
            call.func.id
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        }
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert [name for name, called in calls.items() if name in called] == ["descend"]
