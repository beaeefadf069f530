"""`ptlive export` on a simulated guest; and on real ones, held against QEMU's `info tlb`."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.oracle import info_tlb
from ptlive.wire.qmp import Qmp
from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

# Why what needs it is skipped; the extra `test` has it.
WITHOUT = "pyarrow is not installed (ptlive[data])"
pytest.importorskip("pyarrow", reason=WITHOUT)
duckdb: Any = pytest.importorskip("duckdb", reason="duckdb is not installed (ptlive[test])")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason=WITHOUT)

AT = ("--gdb", "x:1")
EXAMPLE = Path(__file__).parents[2] / "scripts" / "examples" / "pages.py"


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return found


@pytest.mark.usefixtures("guest")
def test_pages_of_a_range_are_rows(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    done = ptlive("export", str(path), f"{VA:#x}..{VA + 0xFFFF:#x}", *AT)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{path}: 2 rows of 1 root, ")
    one, two = rows(path)
    assert (one["va"], one["pa"], one["write"], one["user"]) == (VA, DATA * FRAME, True, False)
    assert (two["va"], two["pa"], two["target"]) == (VA + FRAME, (DATA + 1) * FRAME, "RAM")
    facts = parquet.read_schema(path).metadata
    assert facts[b"ptlive.guest"] == b"x:1"
    assert json.loads(facts[b"ptlive.notes"]) is not None


@pytest.mark.usefixtures("guest")
def test_a_filter_leaves_rows_out(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    where = f"{VA:#x}..{VA + 0xFFFF:#x}"
    assert ptlive("export", str(path), where, "--rights", "u", *AT).status == 0
    assert [row["va"] for row in rows(path)] == [VA + FRAME]


@pytest.mark.usefixtures("guest")
def test_holes_and_their_kinds(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    assert (
        ptlive("export", str(path), hex(VA + 3 * FRAME), hex(5 << 39), "--holes", *AT).status == 0
    )
    assert [(row["kind"], row["level"]) for row in rows(path)] == [
        ("malformed", 1),
        ("unreadable", 4),
    ]


@pytest.mark.usefixtures("guest")
def test_a_limit_is_told(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    done = ptlive("export", str(path), "--limit", "3", *AT)
    assert (done.status, len(rows(path))) == (0, 3)
    assert (
        done.err == "ptlive: note: 5 rows more than --limit allows, and the file ends before them\n"
    )
    value = json.loads(ptlive("export", str(path), "--limit", "3", "--force", "--json", *AT).out)
    assert value["schema"] == "ptlive.export/1"
    assert [note["code"] for note in value["notes"]] == ["limited"]
    assert value["roots"][0]["result"] == {"file": str(path), "rows": 8, "written": 3}


@pytest.mark.usefixtures("guest")
def test_what_cannot_be_is_one_sentence(
    refused: Callable[..., str], ptlive: Callable[..., Done], tmp_path: Path
) -> None:
    assert "ends with none of .parquet, .arrow, .csv" in refused("export", "x.txt", *AT)
    path = str(tmp_path / "x.csv")
    assert "canonical" in refused("export", path, "0x800000000000", *AT)
    assert ptlive("export", path, *AT).status == 0
    assert refused("export", path, *AT) == f"{path} is there already: --force replaces it"


def by_rights(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Count as the first query of the example does, one row after the other."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in found:
        if row["kind"] == "leaf":
            group = groups.setdefault(
                tuple(row[name] for name in ("root", "user", "write", "execute")), [0, 0, 0, 0]
            )
            size = row["page_size"]
            for n, value in enumerate((1, size, size * row["accessed"], size * row["dirty"])):
                group[n] += value
    return sorted((*group, *counts) for group, counts in groups.items())


def overlapping(found: list[dict[str, Any]]) -> dict[str, int]:
    """Count as the third query does: what else maps frames that user mode can write."""
    ram = [row for row in found if row["target"] == "RAM"]
    counts = {}
    for mine in ram:
        if mine["user"] and mine["write"]:
            also = sum(
                other["pa"] < mine["pa"] + mine["page_size"]
                and mine["pa"] < other["pa"] + other["page_size"]
                and (other["root"], other["va"]) != (mine["root"], mine["va"])
                for other in ram
            )
            if also:
                counts[hex(mine["va"])] = also
    return counts


def test_the_example_answers_what_counting_by_hand_does(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    guest.map(VA + 5 * FRAME, (DATA + 1) * FRAME, 7)  # a frame at two addresses
    path = tmp_path / "it's.parquet"
    assert ptlive("export", str(path), "--holes", *AT).status == 0
    rights, both, shared = runpy.run_path(str(EXAMPLE))["answers"](str(path))
    found = rows(path)
    assert sorted((int(row[0], 16), *row[1:]) for row in rights.fetchall()) == by_rights(found)
    leaves = [row for row in found if row["kind"] == "leaf"]
    assert [row[1] for row in both.fetchall()] == [
        hex(row["va"]) for row in leaves if row["write"] and row["execute"]
    ]
    assert {row[0]: row[2] for row in shared.fetchall()} == overlapping(found)
    assert len(overlapping(found)) == 2


@pytest.mark.qemu
@pytest.mark.parametrize("levels", [4, 5])
def test_rows_are_the_lines_of_info_tlb(
    ptlive: Callable[..., Done],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    levels: int,
) -> None:
    """A third walker tells each page, its frame and its entry's flags, but not its size.

    It knows no reserved bits: what is malformed to the MMU is a line, too.
    """
    running: RunningGuest = request.getfixturevalue(f"menu_guest_{levels}")
    path = tmp_path / "x.parquet"
    assert ptlive("export", str(path), "--holes", "--guest", running.name).status == 0
    with Qmp(running.qmp) as qmp:
        text = str(qmp.command("human-monitor-command", command_line="info tlb", cpu_index=0))
    lines = info_tlb.parse(text)
    told = dict(
        zip(
            lines.va.tolist(),
            zip(lines.pa.tolist(), lines.flags.tolist(), strict=True),
            strict=True,
        )
    )
    bits = {"g": 8, "dirty": 6, "accessed": 5, "pcd": 4, "pwt": 3}
    found = rows(path)
    held = 0
    for row in found:
        if row["kind"] != "leaf":
            continue
        pa, flags = told.pop(row["va"])
        # It cuts addresses at bit 49, and takes PAT of a large page for one.
        low = (1 << 50) - row["page_size"]
        assert pa & low == row["pa"] & low, row
        assert {name: bool(flags >> bit & 1) for name, bit in bits.items()} == {
            name: bool(row[name]) for name in bits
        }
        assert bool(flags >> 63) == bool(row["entry"] >> 63)
        held += 1
    assert held > 150
    bad = [row for row in found if row["kind"] in ("malformed", "unreadable")]
    assert all(any(r["va"] <= va <= r["last_va"] for r in bad) for va in told), "none is missing"
