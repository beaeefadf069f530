"""Exported rows, held against the scalar reference's leaves and holes."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from ptlive.analysis.areas import Area
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.walk import walk
from ptlive.show.data import write
from ptlive.show.data.columns import Source, columns
from ptlive.show.data.write import export
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PS, PWU, RW, US, XD, A, Case, D, G, P, cases

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64

# Why what needs it is skipped; the extra `test` has it.
WITHOUT = "pyarrow is not installed (ptlive[data])"
pyarrow = pytest.importorskip("pyarrow", reason=WITHOUT)
feather = pytest.importorskip("pyarrow.feather", reason=WITHOUT)
parquet = pytest.importorskip("pyarrow.parquet", reason=WITHOUT)

README = Path(write.__file__).with_name("README.md")
TARGETS = ("nothing", "RAM")


def target(pa: U64, size_bits: U64) -> U8:
    """Call every other frame RAM."""
    return (pa >> np.uint64(12) & np.uint64(1)).astype(np.uint8)


def source(builder: Builder | Case, **more: Any) -> Source:
    graph = walk(builder.fmt, builder.ram, builder.roots)
    return Source(graph, int(builder.roots[0]), "cr3", target, TARGETS, **more)


@pytest.fixture
def mapped() -> Builder:
    """Pages of three sizes in both halves, with every bit that a column shows."""
    made = Builder(4)
    made.map(0x1000, 0x5000 | P | US | A)
    made.map(0x2000, 0x7FFF_FFFF_F000 | PWU | D | G | 1 << 3 | 1 << 7 | 0xA << 59)
    made.map(2 << 20, 6 << 20 | P | RW | PS | XD | 1 << 12, level=2)
    made.map((1 << 64) - (1 << 30), 3 << 30 | P | RW | PS | 1 << 4, level=3)
    return made


def rows(path: Path) -> list[dict[str, Any]]:
    table = feather.read_table(path) if path.suffix == ".arrow" else parquet.read_table(path)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_each_column_is_what_its_entry_says(mapped: Builder, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    done = export(path, [source(mapped, areas=(Area(0x1000, 0x1FFF, "low", ""),))])
    assert done == ([4], [4])
    small, keyed, large, huge = rows(path)
    assert small == {
        "root": mapped.root,
        "origin": "cr3",
        "va": 0x1000,
        "last_va": 0x1FFF,
        "page_size": 4096,
        "level": 1,
        "kind": "leaf",
        "pa": 0x5000,
        "target": "RAM",
        "entry": 0x5000 | P | US | A,
        "entry_pa": mapped.root + 3 * FRAME + 8,
        "write": False,
        "execute": True,
        "user": True,
        "pwt": 0,
        "pcd": 0,
        "pat": 0,
        "g": 0,
        "pk": 0,
        "accessed": True,
        "dirty": False,
        "area": "low",
    }
    assert mapped.ram.value(small["entry_pa"]) == small["entry"]
    assert [keyed[name] for name in ("pa", "pwt", "pcd", "pat", "g", "pk")] == [
        *(0x7FFF_FFFF_F000, 1, 0, 1, 1, 10)
    ]
    assert (keyed["accessed"], keyed["dirty"], keyed["area"]) == (False, True, None)
    assert (large["page_size"], large["level"], large["pat"], large["execute"]) == (
        *(2 << 20, 2, 1, False),
    )
    assert (huge["va"], huge["last_va"]) == ((1 << 64) - (1 << 30), (1 << 64) - 1)
    assert (huge["page_size"], huge["pcd"], huge["user"]) == (1 << 30, 1, False)


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_all_leaves_and_holes_are_rows(tmp_path_factory: Any, case: Case) -> None:
    path = tmp_path_factory.mktemp("all") / "x.arrow"
    export(path, [source(case)], with_holes=True)
    found = rows(path)
    names = ("va", "last_va", "level", "pa", "entry_pa", "entry", "write", "user", "execute")
    leaves = [tuple(row[name] for name in names) for row in found if row["kind"] == "leaf"]
    assert leaves == case.leaves
    told = ("va", "last_va", "level", "entry_pa", "entry", "kind")
    holes = [row for row in found if row["kind"] != "leaf"]
    assert [tuple(row[name] for name in told) for row in holes] == case.holes
    for row in holes:
        assert {row[name] for name in ("pa", "target", "write", "pk", "accessed")} == {None}


def test_comma_separated_values_are_the_same(mapped: Builder, tmp_path: Path) -> None:
    for suffix in ("csv", "arrow"):
        export(tmp_path / f"x.{suffix}", [source(mapped)], with_holes=True)
    with (tmp_path / "x.csv").open() as file:
        plain = list(csv.DictReader(file))
    words = {True: "true", False: "false", None: ""}
    assert plain == [
        {
            name: words[value] if value is None or isinstance(value, bool) else str(value)
            for name, value in row.items()
        }
        for row in rows(tmp_path / "x.arrow")
    ]


def test_several_roots_share_words(mapped: Builder, tmp_path: Path) -> None:
    one = source(mapped, areas=(Area(0, 0xFFFF, "low", ""),))
    high = Area((1 << 64) - (1 << 30), (1 << 64) - 1, "high", "")
    graph = walk(mapped.fmt, mapped.ram, mapped.roots)
    two = Source(graph, 7, "#2", target, TARGETS, (Area(0, 0xFFFF, "other", ""), high))
    for suffix in ("parquet", "arrow"):
        path = tmp_path / f"x.{suffix}"
        assert export(path, [one, two]).written == [4, 4]
        assert [(row["origin"], row["area"]) for row in rows(path)] == [
            *(("cr3", name) for name in ("low", "low", None, None)),
            *(("#2", name) for name in ("other", "other", None, "high")),
        ]
    with pytest.raises(PtliveError, match="of several formats"):
        columns([one, source(Builder(5))])


def test_a_file_says_what_it_is(mapped: Builder, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    done = export(path, [source(mapped)], limit=3, about={"ptlive.guest": "menu"})
    assert (done.rows, done.written, len(rows(path))) == ([4], [3], 3)
    facts = {
        key.decode(): value.decode() for key, value in parquet.read_schema(path).metadata.items()
    }
    assert facts.pop("ptlive.version")
    facts.pop("ARROW:schema", None)
    assert facts == {
        "ptlive.schema": "1",
        "ptlive.format": "x86-64-4level",
        "ptlive.roots": hex(mapped.root),
        "ptlive.rows": "3",
        "ptlive.limited": "yes",
        "ptlive.guest": "menu",
    }
    assert parquet.read_schema(path).field("pa").metadata[b"description"]


def test_the_readme_has_each_column_with_its_type(mapped: Builder, tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    export(path, [source(mapped)])
    with pyarrow.memory_map(str(path)) as file:
        schema = pyarrow.ipc.open_file(file).schema
    told = re.findall(r"^\| (`.*`) \| (\w+)\?? \|", README.read_text(), re.MULTILINE)
    named = [(name, kind) for names, kind in told for name in re.findall(r"`(\w+)`", names)]
    types = {"dictionary<values=string, indices=int16, ordered=0>": "string"}
    assert named == [(f.name, types.get(str(f.type), str(f.type))) for f in schema]


def test_a_graph_without_end_ends_at_the_limit(tmp_path: Path) -> None:
    """Every entry of every table refers to one table: addresses reach 2**45 leaves."""
    made = Builder(5)
    for n in range(4):
        made.ram.table(made.root + n * FRAME)[:] = made.root + (n + 1) * FRAME | PWU
    made.ram.table(made.root + 4 * FRAME)[:] = 0x5000 | PWU
    path = tmp_path / "x.parquet"
    done = export(path, [source(made)], limit=1000)
    assert (done.rows, done.written) == ([1 << 45], [1000])
    assert [row["va"] for row in rows(path)] == [n * FRAME for n in range(1000)]


def test_nothing_is_left_of_a_file_that_was_not_finished(
    mapped: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_batch", full)
    with pytest.raises(PtliveError, match=r"cannot write .*: No space left on device"):
        export(tmp_path / "x.parquet", [source(mapped)])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PtliveError, match="cannot write"):
        export(tmp_path / "nowhere" / "x.parquet", [source(mapped)])


def test_what_cannot_be_written_is_told(
    mapped: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PtliveError, match=r"x.xls ends with none of .parquet, .arrow, .csv"):
        export(tmp_path / "x.xls", [source(mapped)])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PtliveError, match=r"needs pyarrow: pip install 'ptlive\[data\]'"):
        export(tmp_path / "x.csv", [source(mapped)])


def test_nothing_mapped_is_a_file_without_rows(tmp_path: Path) -> None:
    empty = Builder(4)
    graph = walk(empty.fmt, empty.ram, empty.roots, (u64(0), u64(0xFFFF)))
    none = Source(graph, empty.root, "cr3", target, TARGETS)
    for suffix in ("parquet", "arrow", "csv"):
        assert export(tmp_path / f"x.{suffix}", [none]).written == [0]
    assert rows(tmp_path / "x.parquet") == []
