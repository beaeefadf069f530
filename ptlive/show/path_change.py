"""What changed on the path of one address, in a line for each entry and one for the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.paging.format import Kind
from ptlive.show import words
from ptlive.show.translation import bits_text, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.path_change import EntryChange, PathChange
    from ptlive.analysis.translation import Step, Translation


def reach_line(change: PathChange) -> str:
    """Return what the address translates to, and what it did before."""
    was, now = (reach(found) for found in (change.before, change.after))
    at = words.address(change.after.va, change.after.fmt)
    return f"{at} -> {now}" + (", as before" if was == now else f"; before: {was}")


def entry_line(change: EntryChange) -> str:
    """Return which entry changed, from what to what, and which bits that is."""
    old, new = change.before, change.after
    at = f"{place(new)} at {new.entry_pa:#x}"
    return f"{at}: {old.entry:#018x} -> {new.entry:#018x}: {', '.join(_what(change))}"


def place(step: Step) -> str:
    """Return what an entry is called: PTE (level 1, pte)."""
    return f"{step.level.spec} (level {step.lvl}, {step.level.linux})"


def reach(found: Translation) -> str:
    """Return what an address translates to, and with which rights; or why it does not."""
    where = end(found)
    return where if found.pa is None else f"{where} {words.rights(found.fmt, found.rights)}"


def _what(change: EntryChange) -> Iterator[str]:
    """Yield in words what is different."""
    old, new = change.before, change.after
    if old.kind is not new.kind:
        became = "not present" if new.kind is Kind.ABSENT else new.kind.name.lower()
        was = "not present" if old.kind is Kind.ABSENT else old.kind.name.lower()
        bits = bits_text(new.bits, new.reserved)
        yield f"{was} -> {became}{f' {bits}' if bits else ''}"
        return
    if new.kind is Kind.ABSENT:
        yield "not present, as before"
    for name, width, before, after in change.fields:
        if width > 1:
            yield f"{name} {before} -> {after}"
        else:
            yield f"{name} {'set' if after else 'cleared'}"
    if change.address:
        yield "address {:#x} -> {:#x}".format(*change.address)
    for bit in change.others:
        yield f"bit {bit} {'set' if new.entry >> bit & 1 else 'cleared'}"
