"""Leaves and holes written to a file, some rows at a time: Parquet, Arrow or CSV."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive import __version__
from ptlive.errors import PtliveError
from ptlive.files import whole, writing
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.paths import holes as holes_of
from ptlive.paging.paths import leaves as leaves_of
from ptlive.show.data.columns import VERSION, Column, Source, columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ptlive.paging.paths import Paths

# Rows that are written as one group: what DuckDB and others take as a unit of work.
GROUP = 1 << 18
# A file of so many rows is a few GB, and takes a minute or two. Tables can be made by which
# addresses reach 2**45 leaves.
LIMIT = 1 << 26


class Written(NamedTuple):
    """How many rows there are, and how many of them were written, of each source."""

    rows: list[int]
    written: list[int]


def export(
    path: Path,
    sources: Sequence[Source],
    *,
    with_holes: bool = False,
    limit: int = LIMIT,
    about: Mapping[str, str] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Written:
    """Write the rows of some address spaces to a file, of the kind that its name says.

    limit: so many rows at most; about: what else the file is to say of itself
    progress: told (what, done, all)

    The file is there once it is whole. Raises PtliveError for an unknown kind of file,
    without the library, and where it cannot be written.
    """
    check(path)
    sink = _SINKS[path.suffix]
    made = columns(sources)
    kinds = (Kind.LEAF, *HOLES) if with_holes else (Kind.LEAF,)
    rows = [source.walked.reached(*kinds) for source in sources]
    total = min(sum(rows), limit)
    schema = _schema(made, {**(about or {}), **_facts(sources, rows, total)})
    written = [0] * len(sources)
    with whole(path) as draft, writing(path), sink(draft, schema) as write:
        for number, source in enumerate(sources):
            for chunk in _chunks(source, limit - sum(written), with_holes=with_holes):
                write(_batch(schema, made, source, chunk))
                written[number] += len(chunk)
                progress("rows written", sum(written), total)
    return Written(rows, written)


def check(path: Path) -> None:
    """Raise PtliveError for a kind of file that is not known, or without the library."""
    if path.suffix not in _SINKS:
        raise PtliveError(f"{path.name} ends with none of {', '.join(_SINKS)}")
    _arrow()


def _chunks(source: Source, limit: int, *, with_holes: bool) -> Iterator[Paths]:
    """Yield the leaves of an address space, then its holes if they are wanted."""
    for found in (leaves_of, holes_of)[: 1 + with_holes]:
        if limit <= 0:
            return
        for chunk in found(source.walked, limit):
            yield chunk
            limit -= len(chunk)


def _facts(sources: Sequence[Source], rows: Sequence[int], total: int) -> dict[str, str]:
    return {
        "ptlive.schema": VERSION,
        "ptlive.version": __version__,
        "ptlive.format": sources[0].fmt.name,
        "ptlive.roots": " ".join(f"{source.root:#x}" for source in sources),
        "ptlive.rows": str(total),
        "ptlive.limited": "yes" if total < sum(rows) else "no",
    }


def _arrow() -> Any:
    """Import the library. Raises PtliveError without it."""
    try:
        import pyarrow
    except ImportError:
        raise PtliveError("export needs pyarrow: pip install 'ptlive[data]'") from None
    return pyarrow


def _schema(made: Sequence[Column], facts: Mapping[str, str]) -> Any:
    arrow = _arrow()
    fields = [
        arrow.field(
            column.name,
            arrow.dictionary(arrow.int16(), arrow.string())
            if column.type == "string"
            else arrow.from_numpy_dtype(np.dtype(column.type)),
            nullable=column.nullable,
            metadata={"description": column.meaning},
        )
        for column in made
    ]
    return arrow.schema(fields, metadata=dict(facts))


def _batch(schema: Any, made: Sequence[Column], source: Source, chunk: Paths) -> Any:
    arrow = _arrow()
    arrays = []
    for column in made:
        value, null = column.make(source, chunk)
        if column.type == "string":
            codes = arrow.array(value.astype(np.int16), mask=null)
            arrays.append(
                arrow.DictionaryArray.from_arrays(codes, arrow.array(column.words, arrow.string()))
            )
        else:
            arrays.append(arrow.array(np.ascontiguousarray(value), mask=null))
    return arrow.RecordBatch.from_arrays(arrays, schema=schema)


@contextmanager
def _parquet(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield what writes a batch to a Parquet file, in groups of many rows."""
    import pyarrow
    from pyarrow import parquet

    words = [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]
    waiting: list[Any] = []
    with parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=words) as writer:

        def flush() -> None:
            if waiting:
                writer.write_table(pyarrow.Table.from_batches(waiting), row_group_size=2 * GROUP)
                waiting.clear()

        def write(batch: Any) -> None:
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _ipc(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield what writes a batch to an Arrow file (IPC, also known as Feather)."""
    import pyarrow

    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
        yield writer.write_batch


@contextmanager
def _csv(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield what writes a batch to a file of comma-separated values, words spelled out."""
    import pyarrow
    from pyarrow import csv

    plain = pyarrow.schema(
        [
            field.with_type(pyarrow.string()) if pyarrow.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )
    with csv.CSVWriter(path, plain) as writer:
        yield lambda batch: writer.write_batch(batch.cast(plain))


_SINKS = {".parquet": _parquet, ".arrow": _ipc, ".csv": _csv}
