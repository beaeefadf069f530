"""One address, step by step, in text and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.paging.fields import size_name, why_malformed
from ptlive.paging.format import Kind
from ptlive.show import words
from ptlive.show.terminal import columns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ptlive.analysis.translation import Outcome, Step, Translation
    from ptlive.paging.format import Format


def headline(found: Translation) -> str:
    """Return an address and what it translates to, in one line."""
    return f"{words.address(found.va, found.fmt)} -> {end(found)}"


def end(found: Translation) -> str:
    """Return what an address translates to, or why it does not."""
    if found.pa is None or found.page_bits is None:
        return f"no translation: {_why(found)}"
    return f"{found.pa:#x} ({size_name(found.page_bits)} page, {found.target})"


def lines(fmt: Format, found: Translation, torn: Collection[int] = ()) -> Iterator[str]:
    """Yield the rest: the path, the rights and who decides them, and the accesses asked for.

    torn: the addresses of entries that changed while they were read
    """
    if found.path:
        rows = [path_row(step, torn) for step in found.path]
        yield from ("  " + line for line in columns(path_header(fmt), rows, "   >"))
    if found.pa is not None:
        denied = "; ".join(
            f"{name} denied by the {fmt.level(lvl).spec} (level {lvl})"
            for name, lvl in found.decided_by.items()
            if lvl is not None
        )
        yield f"  rights {words.rights(fmt, found.rights)}{': ' + denied if denied else ''}"
    for outcome in found.outcomes:
        yield f"  {outcome.kind}: {outcome_text(outcome)}"


def outcome_text(outcome: Outcome) -> str:
    """Return what an access would get, and why."""
    if outcome.allowed:
        return "allowed"
    if outcome.vector is None:
        return f"cannot be told: {outcome.reason}"
    at = f" at {outcome.cr2:#x}" if outcome.cr2 is not None else ""
    return f"{outcome.short}{at}: {outcome.reason}"


def _why(found: Translation) -> str:
    if not found.path:
        return f"the address {found.fmt.outside}"
    last = found.path[-1]
    name = f"the {last.level.spec} (level {last.lvl})"
    if last.kind is Kind.ABSENT:
        return f"{name} is not present{'' if last.entry == 0 else f' (it holds {last.entry:#x})'}"
    if last.kind is Kind.MALFORMED:
        return f"{name} {why_malformed(found.fmt, last.lvl, last.entry)}"
    return f"{name} refers to a table that lies in no RAM and no ROM"


def path_header(fmt: Format) -> tuple[str, ...]:
    """Return what stands above `path_row`."""
    return ("level", fmt.manual, "Linux", "index", "table", "entry at", "entry", "kind", "bits")


def path_row(step: Step, torn: Collection[int] = ()) -> tuple[str, ...]:
    """Return a row of a path's table; torn: the addresses of entries that changed meanwhile."""
    bits = bits_text(step.bits, step.reserved)
    return (
        str(step.lvl),
        step.level.spec,
        step.level.linux,
        str(step.index),
        f"{step.table:#x}",
        f"{step.entry_pa:#x}",
        f"{step.entry:#018x}",
        step.kind.name.lower(),
        f"{bits} torn".strip() if step.entry_pa in torn else bits,
    )


def bits_text(bits: dict[str, int], reserved: list[int]) -> str:
    """Return the set bits of an entry by name, and the reserved ones by number."""
    set_bits = [
        name if name != "PK" and value == 1 else f"{name}={value}"
        for name, value in bits.items()
        if value
    ]
    return " ".join([*set_bits, *(f"reserved:{bit}" for bit in reserved)])


def as_json(found: Translation, torn: Collection[int] | None = None) -> dict[str, Any]:
    """Return a translation as the JSON of `ptlive.translate/1` has it.

    torn: the addresses of entries that changed while they were read, if that was looked for
    """
    first = found.outcomes[0] if found.outcomes else None
    return {
        "va": words.address(found.va),
        "pa": None if found.pa is None else hex(found.pa),
        "page_size": None if found.page_bits is None else size_name(found.page_bits),
        "rights": found.rights or None,
        "decided_by": found.decided_by or None,
        "target": found.target,
        "fault": None if first is None else _fault(first),
        "accesses": {outcome.kind.name: _fault(outcome) for outcome in found.outcomes},
        "path": [
            {
                "level": step.lvl,
                "name": words.level_names(step.level),
                "table": hex(step.table),
                "index": step.index,
                "entry_pa": hex(step.entry_pa),
                "entry": hex(step.entry),
                "kind": step.kind.name.lower(),
                "bits": step.bits,
                "reserved_bits_set": step.reserved,
                **({} if torn is None else {"torn": step.entry_pa in torn}),
            }
            for step in found.path
        ],
    }


def _fault(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.allowed:
        return None
    return {
        "vector": outcome.vector,
        "error_code": None if outcome.vector is None else hex(outcome.error_code),
        "cr2": None if outcome.cr2 is None else hex(outcome.cr2),
        "level": outcome.level,
        "reason": outcome.reason,
    }
