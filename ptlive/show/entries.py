"""Entries on their own, without a path: of a table, or given by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.paging import fields
from ptlive.paging.format import Kind
from ptlive.show import words
from ptlive.show.terminal import columns
from ptlive.show.translation import bits_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ptlive.paging.format import Format


def table_lines(
    fmt: Format,
    lvl: int,
    table: int,
    rows: list[tuple[int, int]],
    torn: Collection[int] = (),
) -> Iterator[str]:
    """Yield a heading and a line for each (index, entry) of a table.

    torn: the addresses of entries that changed while they were read
    """
    size = fmt.level(lvl).entry_size
    cells = []
    for at, entry in rows:
        pa = table + at * size
        *rest, bits = _cells(fmt, lvl, entry)
        bits = f"{bits} torn".strip() if pa in torn else bits
        cells.append((str(at), f"{pa:#x}", f"{entry:#018x}", *rest, bits))
    yield from columns(("index", "at", "entry", "kind", "refers to", "bits"), cells, ">")


def entry_lines(fmt: Format, lvl: int, entry: int) -> Iterator[str]:
    """Yield what one entry says, a line for each thing."""
    level = fmt.level(lvl)
    kind, refers, _ = _cells(fmt, lvl, entry)
    found = fields.classify(fmt, lvl, entry)
    yield f"{entry:#018x} as a {level.spec} ({level.linux}, level {lvl}): {kind}"
    if found is Kind.LEAF:
        size = fields.size_name(fields.page_bits(fmt, lvl, entry))
        yield f"  maps the {size} page at {refers}"
    elif found is Kind.TABLE:
        yield f"  refers to the {fmt.level(lvl - 1).spec} table at {refers}"
    named = fields.fields(fmt, lvl, entry) if found is not Kind.ABSENT else []
    width = max([4, *(len(field.name) for field, _ in named)])
    for field, value in named:
        yield f"  {field.name:{width}} = {value}"
    if found is Kind.ABSENT and entry:
        yield "  not present: the other bits belong to software"
    for bit in fields.reserved_bits(fmt, lvl, entry) if found is Kind.MALFORMED else ():
        yield f"  bit {bit} is reserved and set: an access gets #PF with RSVD"
    if found is Kind.MALFORMED and not fields.reserved_bits(fmt, lvl, entry):
        yield f"  {fields.why_malformed(fmt, lvl, entry)}"


def entry_json(fmt: Format, lvl: int, entry: int) -> dict[str, Any]:
    """Return what one entry says for JSON."""
    level = fmt.level(lvl)
    kind = fields.classify(fmt, lvl, entry)
    present = kind is not Kind.ABSENT
    size = fields.size_name(fields.page_bits(fmt, lvl, entry)) if kind is Kind.LEAF else None
    return {
        "level": lvl,
        "name": words.level_names(level),
        "entry": f"{entry:#018x}",
        "kind": kind.name.lower(),
        "refers_to": hex(fields.refers_to(fmt, lvl, entry)) if present else None,
        "page_size": size,
        "bits": fields.bits(fmt, lvl, entry),
        "reserved_bits_set": fields.reserved_bits(fmt, lvl, entry) if present else [],
    }


def table_json(
    fmt: Format,
    lvl: int,
    table: int,
    rows: list[tuple[int, int]],
    torn: Collection[int] | None = None,
) -> dict[str, Any]:
    """Return a table's entries for JSON.

    torn: the addresses of entries that changed while they were read, if that was looked for
    """
    size = fmt.level(lvl).entry_size
    return {
        "table": hex(table),
        "level": lvl,
        "entries": [
            {
                "index": at,
                "entry_pa": hex(table + at * size),
                **entry_json(fmt, lvl, entry),
                **({} if torn is None else {"torn": table + at * size in torn}),
            }
            for at, entry in rows
        ],
    }


def _cells(fmt: Format, lvl: int, entry: int) -> tuple[str, str, str]:
    """Return kind, what it refers to, and bits of an entry."""
    kind = fields.classify(fmt, lvl, entry)
    if kind is Kind.ABSENT:
        return kind.name.lower(), "", ""
    reserved = fields.reserved_bits(fmt, lvl, entry)
    refers = f"{fields.refers_to(fmt, lvl, entry):#x}"
    return kind.name.lower(), refers, bits_text(fields.bits(fmt, lvl, entry), reserved)
