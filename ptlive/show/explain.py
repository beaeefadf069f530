"""An instruction's accesses and the page fault behind them, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.analysis.instruction.touch import AC
from ptlive.paging.fields import size_name
from ptlive.paging.rights import names
from ptlive.paging.words import outcome_words
from ptlive.show import words
from ptlive.show.terminal import columns, plain
from ptlive.show.translation import headline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.analysis.explain.causes import Cause
    from ptlive.analysis.explain.explanation import Explanation
    from ptlive.analysis.explain.fate import Bit, Fate
    from ptlive.analysis.explain.fault import Taken
    from ptlive.analysis.explain.judge import Judged, Where
    from ptlive.paging.format import Format

    Named = Callable[[int], str | None]

_HEADER = ("", "access", "address", "bytes", "kind", "page", "the tables")
_POSSIBLE = {True: "possible", None: "not known", False: "not possible"}


def title(found: Explanation, name_of: Named) -> str:
    """Return the instruction in one line."""
    instruction = found.instruction
    text = instruction.text
    if text is None:
        raw = instruction.data.hex(" ")
        text = f"{raw} is not decoded" if raw else "the instruction cannot be read"
    return f"{_place(instruction.va, name_of)}: {text}"


def lines(fmt: Format, found: Explanation, name_of: Named) -> Iterator[str]:
    """Yield the rest: the fault that was taken, the accesses, the first that would fault."""
    flags = ", RFLAGS.AC=1" if found.rflags & AC else ""
    yield f"  {found.bits}-bit code at privilege level {found.cpl}{flags}"
    marked = found.fault.number if found.fault else None
    rows = [_row(fmt, one, at == marked) for at, one in enumerate(found.judged)]
    yield from ("  " + line for line in columns(_HEADER, rows, "   >"))
    for note in found.instruction.notes:
        yield f"  {note}"
    if not found.instruction.data and found.judged[0].first.pa is not None:
        yield "  its page is mapped, and lies in no memory that there is to be read"
    if found.fault is not None:
        yield from _fault_lines(found, found.fault, name_of)
    else:
        yield _first_line(found)
    if found.cr2 is not None:
        yield f"CR2 is of the last page fault, whenever that was: {headline(found.cr2)}"


def _row(fmt: Format, one: Judged, marked: bool) -> tuple[str, ...]:
    touch = one.touch
    verdict = fate_text(one.fate)
    if touch.maybe:
        verdict += f" ({touch.maybe})"
    if one.unseen:
        verdict += f"; the other {one.unseen:,} bytes were not looked at"
    return (
        ">" if marked else "",
        touch.what,
        words.address(one.first.va),
        f"{touch.length:,}",
        _kind(one),
        _page(fmt, one),
        verdict,
    )


def _kind(one: Judged) -> str:
    """Return what kind of access it is; what is read and written is both."""
    kind = one.fate.kind
    mode = "user" if kind.user else "supervisor"
    return f"{mode} {one.touch.does.value}"


def _page(fmt: Format, one: Judged) -> str:
    """Return the rights and the size of the page, or how many pages there are."""
    if one.first.page_bits is None:
        text = "none"
    else:
        text = f"{words.rights(fmt, names(fmt, one.first.rights))} {size_name(one.first.page_bits)}"
    return text if one.count == 1 else f"{text}, first of {one.count:,}"


def fate_text(fate: Fate) -> str:
    """Return what an access gets and which bit decides, in short."""
    if fate.allowed:
        return "allowed"
    if fate.vector is None:
        if fate.key is not None:
            return f"allowed unless PKRU denies key {fate.key}"
        return f"cannot be told: {fate.reason}"
    short = outcome_words(fate.vector, fate.error_code)
    return f"{short}: {bit_text(fate.bit) if fate.bit else fate.reason}"


def bit_text(bit: Bit) -> str:
    """Return a deciding bit and its entry."""
    return f"{bit.text} in the {bit.name} (level {bit.level})"


def _first_line(found: Explanation) -> str:
    unknown = any(one.fate.vector is None for one in found.judged)
    if found.first is None:
        return "nothing is known to fault" if unknown else "nothing faults"
    one = found.judged[found.first]
    what = "first to fault"
    if one.touch.maybe or unknown:
        what += ", as far as is known"
    fate = one.fate
    assert fate.vector is not None
    at = words.address(fate.address)
    entry = f"; the entry at {fate.bit.entry_pa:#x} holds {fate.bit.entry:#x}" if fate.bit else ""
    short = outcome_words(fate.vector, fate.error_code)
    return f"{what}: {one.touch.what}, {short} at {at}: {fate.reason}{entry}"


def _fault_lines(found: Explanation, taken: Taken, name_of: Named) -> Iterator[str]:
    code = outcome_words(14, taken.error_code)
    yield f"page fault: {code} at {words.address(taken.cr2)}, a {taken.kind}"
    if found.handler is not None:
        handler = _place(found.handler, name_of)
        yield f"  just taken: the vCPU stands at its handler {handler}, with {taken.source}"
    if taken.number is None:
        yield "  none of this instruction's accesses reaches that address"
    else:
        touch = found.judged[taken.number].touch
        yield f'  it is {touch.what}, marked ">"'
    if taken.now.bit is not None:
        bit = taken.now.bit
        yield f"  {bit_text(bit)} at {bit.entry_pa:#x}, which holds {bit.entry:#x}"
    elif not taken.now.allowed:
        yield f"  {taken.now.reason}"
    if taken.agrees:
        more = f", {taken.difference}" if taken.difference else ""
        yield f"  the error code agrees with the tables as they are now{more}"
    elif taken.agrees is None:
        yield f"  whether the tables agree cannot be told: {taken.difference}"
    else:
        yield f"  the error code does not agree with the tables now: {taken.difference}"
    yield from _cause_lines(taken.causes)


def _cause_lines(causes: Sequence[Cause]) -> Iterator[str]:
    width = max(map(len, _POSSIBLE.values()))
    for cause in causes:
        yield f"    {_POSSIBLE[cause.possible]:{width}}  {cause.name}: {cause.why}"


def _place(va: int, name_of: Named) -> str:
    name = name_of(va)
    return f"{words.address(va)} {plain(name)}" if name else words.address(va)


def as_json(fmt: Format, found: Explanation, name_of: Named) -> dict[str, Any]:
    """Return an explanation as the JSON of `ptlive.explain/1` has it."""
    instruction = found.instruction
    return {
        "instruction": {
            "va": words.address(instruction.va),
            "symbol": name_of(instruction.va),
            "bytes": instruction.data.hex(),
            "text": instruction.text,
            "bits": found.bits,
            "cpl": found.cpl,
            "ac": bool(found.rflags & AC),
            "notes": list(instruction.notes),
        },
        "accesses": [_access(fmt, one) for one in found.judged],
        "first_to_fault": found.first,
        "page_fault": _taken(found, found.fault) if found.fault else None,
        "last_cr2": words.address(found.cr2.va) if found.cr2 else None,
    }


def _access(fmt: Format, one: Judged) -> dict[str, Any]:
    touch = one.touch
    return {
        "what": touch.what,
        "va": words.address(touch.va),
        "last_va": words.address(touch.last_va),
        "bytes": touch.length,
        "element": touch.size,
        "descending": touch.descending,
        "does": touch.does.value,
        "mode": "user" if one.fate.kind.user else "supervisor",
        "implicit_supervisor": touch.supervisor,
        "maybe": touch.maybe or None,
        "pages": {"looked_at": one.count, "bytes_not_looked_at": one.unseen},
        "first": _where(fmt, one.first),
        "last": _where(fmt, one.last),
        "fault": fate_json(one.fate),
    }


def _where(fmt: Format, where: Where) -> dict[str, Any]:
    there = where.pa is not None
    return {
        "va": words.address(where.va),
        "pa": None if where.pa is None else hex(where.pa),
        "page_size": None if where.page_bits is None else size_name(where.page_bits),
        "rights": names(fmt, where.rights) if there else None,
    }


def fate_json(fate: Fate) -> dict[str, Any] | None:
    """Return the fault that an access gets, None if it is allowed."""
    if fate.allowed:
        return None
    bit = fate.bit
    return {
        "vector": fate.vector,
        "error_code": None if fate.vector is None else hex(fate.error_code),
        "cr2": words.address(fate.address) if fate.is_page_fault else None,
        "access": fate.kind.name,
        "level": bit.level if bit else None,
        "bit": bit.text if bit else None,
        "entry_pa": hex(bit.entry_pa) if bit else None,
        "entry": hex(bit.entry) if bit else None,
        "reason": fate.reason,
    }


def _taken(found: Explanation, taken: Taken) -> dict[str, Any]:
    frame = taken.frame
    return {
        "error_code": hex(taken.error_code),
        "cr2": words.address(taken.cr2),
        "access": taken.kind.name,
        "accessed": taken.number,
        "source": taken.source,
        "handler": None if found.handler is None else words.address(found.handler),
        "frame": None
        if frame is None
        else {
            name: None if value is None else hex(value)
            for name, value in {
                "at": frame.at,
                "rip": frame.rip,
                "cs": frame.cs,
                "rflags": frame.rflags,
                "rsp": frame.rsp,
                "ss": frame.ss,
            }.items()
        },
        "now": fate_json(taken.now),
        "agrees": taken.agrees,
        "difference": taken.difference or None,
        "causes": [
            {"name": one.name, "possible": one.possible, "why": one.why} for one in taken.causes
        ],
    }
