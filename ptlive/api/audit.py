"""Findings: what is wrong, or weak, in the page tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from ptlive.analysis.audit.finding import Severity
from ptlive.api.shown import ROWS, Shown, Table
from ptlive.errors import PtliveError
from ptlive.show import audit as show
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ptlive import space as inner
    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Finding
    from ptlive.analysis.audit.run import Audit
    from ptlive.api.held import Held

_HEADER = ("severity", "rule", "regions", "pages", "what", "explained")


class Findings(Shown, Sequence["Finding"]):
    """What an audit found, the worst first.

    Each finding has rule (id, title, reason, references), severity (of `Severity`, ordered),
    what, explanation (why a known system does this on purpose, or None), places (va, last_va, pa,
    pages ... of the first of them), regions, pages and bytes in all, and evidence.
    skipped: why a rule could not be applied, by its name
    notes: what limits the findings, in sentences
    """

    def __init__(self, context: Context, result: Audit, notes: tuple[str, ...], where: str) -> None:
        self._context, self._findings, self._where = context, result.findings, where
        self.skipped = dict(result.skipped)
        self.notes = notes

    def at_least(self, severity: str) -> list[Finding]:
        """Return what is as bad as this, or worse: info, low, medium, high, critical.

        Raises PtliveError for another word.
        """
        known = {level.word: level for level in Severity}
        if severity not in known:
            raise PtliveError(f"{severity!r} is none of {', '.join(known)}")
        return [one for one in self._findings if one.severity >= known[severity]]

    def told(self, finding: Finding, limit: int = 10) -> list[str]:
        """Return a finding in lines, as `ptlive audit` prints it, with some of its places."""
        return [show.headline(finding), *show.lines(self._context, finding, limit)]

    @overload
    def __getitem__(self, at: int) -> Finding: ...
    @overload
    def __getitem__(self, at: slice) -> list[Finding]: ...
    def __getitem__(self, at: int | slice) -> Finding | list[Finding]:
        return self._findings[at]

    def __len__(self) -> int:
        return len(self._findings)

    def _title(self) -> str:
        bad = len(self.at_least("medium"))
        found = words.count(len(self), "finding")
        return f"{found} in {self._where}, {bad or 'none'} of medium severity or worse"

    def _content(self) -> Iterator[str | Table]:
        rows = [
            (
                one.severity.word,
                one.rule.id,
                f"{one.regions:,}",
                f"{one.pages:,}",
                one.what,
                one.explanation or "",
            )
            for one in self._findings[:ROWS]
        ]
        if rows:
            yield Table(_HEADER, rows, "  >>", len(self) - len(rows))
        for name, why in self.skipped.items():
            yield f"not applied: {name}: {why}"
        yield from (f"note: {note}" for note in self.notes)


def audited(held: Held, space: inner.AddressSpace, only: Collection[str]) -> Findings:
    """Audit an address space; see `AddressSpace.audit`."""
    from ptlive.analysis.audit.memory_type import MemoryTypes
    from ptlive.analysis.audit.rules import RULES, named
    from ptlive.analysis.audit.run import audit
    from ptlive.answers.audit import context_of, registers_of
    from ptlive.answers.spaces import with_partners
    from ptlive.answers.system import system_of
    from ptlive.answers.together import walk_together
    from ptlive.target.saved_state import memory_types_of

    rules = [named(name) for name in dict.fromkeys(only)] or list(RULES)
    pairs = with_partners([space])
    (group,) = walk_together(list(pairs), lambda *_: None)
    seen = (system_of(one, known=held.systems) for one in group.spaces)
    system = next((one for one in seen if one is not None), None)
    known = memory_types_of(held.target, held.running)
    types = known and MemoryTypes(*known, source="QEMU's saved state")
    context = context_of(group, pairs, system, types, registers_of(held.target))
    notes = []
    if system is None:
        notes.append("the system is not known: nothing is explained by what it does on purpose")
    if types is None:
        notes.append("IA32_PAT is not known: only PAT indices are compared")
    return Findings(context, audit(context, rules), tuple(notes), space.title)
