"""The file by which an edit is undone: what stood where, and what the edit put there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ptlive.analysis.edit import Edit

SCHEMA = "ptlive.edit-undo/1"
# An undo file with a page of text for every entry of a thousand tables is no larger.
_LARGEST = 1 << 28
_BYTES = ("old", "new", "mmu", "kept")


class Patch(NamedTuple):
    """Bytes at a physical address, before and after an edit.

    mmu: the bits in which the MMU may change them by itself; kept: those of them that
    stay as they are then when the edit is undone; table: whether it is a new table, and no entry
    """

    address: int
    old: bytes
    new: bytes
    mmu: bytes
    kept: bytes
    table: bool = False


class Undo(NamedTuple):
    """How to undo an edit: of which address space and range, and what was written, in order."""

    format: str
    roots: list[int]
    va: int
    last_va: int
    writes: list[Patch]


def undo_text(edit: Edit, writes: Iterable[Patch], about: dict[str, Any]) -> str:
    """Return the file's text; about: what it tells besides. Raises PtliveError for too much."""
    where = {
        "format": edit.fmt.name,
        "roots": [hex(one) for one in edit.root.tolist()],
        "va": hex(edit.va),
        "last_va": hex(edit.last_va),
    }
    rows = [_as_json(one) for one in writes]
    text = json.dumps({"schema": SCHEMA, **about, **where, "writes": rows}, indent=1)
    if len(text) > _LARGEST:
        raise PtliveError(f"{len(rows):,} pieces of memory would change: take a smaller range")
    return text


def read_undo(file: Path) -> Undo:
    """Read such a file. Raises PtliveError for anything else."""
    try:
        if file.stat().st_size > _LARGEST:
            raise PtliveError(f"{file} is too large for an undo file")
        found = json.loads(file.read_bytes())
        if found["schema"] != SCHEMA or not isinstance(found["format"], str) or not found["roots"]:
            raise ValueError
        roots = [_number_of(text) for text in found["roots"]]
        va, last_va = (_number_of(found[name]) for name in ("va", "last_va"))
        return Undo(found["format"], roots, va, last_va, [_patch(row) for row in found["writes"]])
    except OSError as error:
        raise PtliveError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PtliveError(f"{file} is no undo file of ptlive edit") from None


def _as_json(one: Patch) -> dict[str, Any]:
    columns = {name: getattr(one, name).hex() for name in _BYTES}
    return {"address": hex(one.address), **columns, "table": one.table}


def _patch(row: dict[str, Any]) -> Patch:
    """Read one row. Raises ValueError, KeyError, TypeError for what is none."""
    old, new, mmu, kept = (bytes.fromhex(row[name]) for name in _BYTES)
    if not len(old) == len(new) == len(mmu) == len(kept) > 0:
        raise ValueError
    return Patch(_number_of(row["address"]), old, new, mmu, kept, bool(row["table"]))


def _number_of(text: str) -> int:
    """Read an address. Raises ValueError, TypeError for what is none."""
    number = int(text, 16)
    if not 0 <= number < 1 << 64:
        raise ValueError
    return number
