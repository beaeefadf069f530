"""The bare work beside ptlive's answers: that it is what it says, on arrays counted by hand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zstandard
from rich.console import Console

from ptlive.arrays import u64
from scripts.benchmark import bare, peers, questions, table
from scripts.benchmark.plain_c import Leaves
from scripts.benchmark.point import PARTS, Point
from scripts.benchmark.result import as_json
from scripts.benchmark.shapes import shape
from scripts.benchmark.timing import Times, WrongResultError, measure

if TYPE_CHECKING:
    from pathlib import Path

# Why what needs it is skipped; the extra `test` has it.
WITHOUT = "pyarrow is not installed (ptlive[data])"


def test_frames_are_counted_among_pages_of_all_sizes() -> None:
    # 4K at 0x3000, twice; 2M at 0; 1G at 1G (SDM vol. 3A 4.5: a level has 9 bits).
    level = np.array([1, 1, 2, 3], np.uint8)
    none = u64(0, 0, 0, 0)
    leaves = Leaves(none, u64(0x3000, 0x3000, 0, 1 << 30), none, none, level)
    ends = bare.ends_of(leaves)
    assert ends[1].tolist() == [0x3FFF, 0x3FFF, 0x1F_FFFF, 0x7FFF_FFFF]
    wanted = u64(0x7FFF_FFFF, 0x3ABC, 0x2FFF, 0x20_0000, 0x8000_0000)
    assert bare.mapped(ends, wanted).tolist() == [1, 3, 1, 0, 0]


def test_of_a_file_of_ram_the_holes_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "ram"
    with open(file, "wb") as ram:
        ram.truncate(64 << 20)
        ram.seek(20 << 20)
        ram.write(b"\1" * 4096)
    pieces = bare.held(file)
    # Some file systems have no holes: what is read then is all of it.
    assert sum(piece.size for piece in pieces) in (4096, 64 << 20)
    assert bare.look_through(pieces) == 512
    bare.copy(pieces)


def test_written_bytes_are_the_bytes(tmp_path: Path) -> None:
    file, frames = tmp_path / "frames.zst", np.arange(1 << 13, dtype=np.uint8)
    bare.compress(frames, file)
    with open(file, "rb") as packed:
        assert zstandard.ZstdDecompressor().stream_reader(packed).read() == frames.tobytes()


def test_the_same_columns_are_written(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason=WITHOUT)
    parquet = pytest.importorskip("pyarrow.parquet", reason=WITHOUT)
    columns = {"va": pyarrow.array([1, 2]), "area": pyarrow.array(["a", "b"]).dictionary_encode()}
    bare.write_parquet(pyarrow.table(columns), tmp_path / "bare.parquet")
    assert parquet.read_table(tmp_path / "bare.parquet").to_pydict() == {
        "va": [1, 2],
        "area": ["a", "b"],
    }


def test_work_is_timed_under_its_name() -> None:
    done: list[int] = []
    times = measure([bare.way("work", lambda: done.append(1))], turns=1, seconds=1)
    assert (times.series, len(done) > 0) == (["work"], True)


def test_a_wrong_answer_is_no_measurement() -> None:
    questions._agree("pages", 3, 3)
    with pytest.raises(WrongResultError, match=r"^pages: 1,000 and not 3$"):
        questions._agree("pages", 1000, 3)


def asked() -> Point:
    """Return a point of which only questions were measured, some of them."""
    found = Times(
        [{questions.AUDIT: 3, questions.WALK: 2}, {questions.AUDIT: 8, questions.WALK: 4}]
    )
    found.skipped[bare.PYARROW] = "nothing was exported"
    return Point(shape("dense"), 1_000_000, 2000, (), Times(), questions=found)


def test_ratios_of_questions_stand_apart_in_the_json() -> None:
    found = as_json([asked()], {}, 1)
    assert set(found["questions"]) == set(questions.PAIRS)
    taken = {"value": 1.75, "min": 1.5, "max": 2.0, "leaves": 1_000_000, "shape": "dense"}
    assert found["questions"]["audit_vs_walk"] == taken
    assert found["questions"]["export_vs_pyarrow"]["value"] is None
    assert found["ratios"]["shared_vs_c"]["value"] is None
    (point,) = found["points"]
    assert point["questions"]["seconds"][questions.AUDIT]["median"] == 5.5
    assert point["questions"]["ratios"]["audit_vs_walk"]["value"] == 1.75
    assert point["skipped"] == {bare.PYARROW: "nothing was exported"}


def test_the_table_has_what_was_measured_and_nothing_else() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    for part in (*table.point(asked()), *table.summary([asked()])):
        console.print(part)
    text = console.export_text()
    assert "1.8 (1.5..2.0)" in text
    assert "not measured: pyarrow: nothing was exported" in text
    assert "all leaves, into arrays" not in text
    assert "shared_vs_c" not in text
    assert "find_vs_searchsorted" in text


def test_every_pair_names_ways_that_there_are() -> None:
    ours = {name for name, _ in questions.PAIRS.values()}
    theirs = {name for _, name in questions.PAIRS.values()} - {questions.WALK, peers.FILTERED}
    assert ours == {
        *(questions.REGIONS, questions.ROOTS, questions.FIND, questions.AUDIT),
        *(questions.SNAPSHOT, questions.EXPORT, questions.WRITABLE),
    }
    assert theirs == {bare.PASS, bare.COPY, bare.SEARCH, bare.ZSTD, bare.PYARROW}
    assert "questions" in PARTS
