"""What a rule is, what it sees, and what becomes of that: a finding."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.analysis.audit.context import Context
    from ptlive.paging.graph import Graph


class Severity(enum.IntEnum):
    """How bad a finding is: the qualitative scale of CVSS, whose "none" is called info."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The severity as people write it."""
        return self.name.lower()


class Place(NamedTuple):
    """Where something was seen: a region, an entry, or both.

    va, last_va: None for what has no address; times: how many such there are at equal
    distances; pages: by size, of all of them; roots: numbers of the roots
    level, entry_pa, entry: of the first page, or of the entry that is meant
    """

    roots: tuple[int, ...]
    va: int | None = None
    last_va: int | None = None
    pa: int | None = None
    pages: dict[str, int] | None = None
    rights: int | None = None
    attributes: int | None = None
    target: str | None = None
    area: str | None = None
    level: int | None = None
    entry_pa: int | None = None
    entry: int | None = None
    times: int = 1

    @property
    def bytes(self) -> int:
        """How many bytes that is, as addresses count."""
        if self.va is None or self.last_va is None:
            return 0
        return (self.last_va - self.va + 1) * self.times


class Skipped(NamedTuple):
    """A rule could not be applied, and why."""

    why: str


@dataclass(frozen=True, eq=False)
class Seen:
    """What a rule saw: pages that are all of one kind, or single places.

    what: a sentence with what was seen, without numbers
    graph: a folded walk with just the leaves that are meant; or else places, of
        `count` such in all
    severity: if it is not the rule's; why: an explanation, if there is one
    """

    what: str
    graph: Graph | None = None
    places: tuple[Place, ...] = ()
    count: int = 0
    severity: Severity | None = None
    why: str | None = None
    evidence: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A rule: what it looks for, how bad that is, why, and who says so."""

    id: str
    severity: Severity
    title: str
    reason: str
    references: tuple[str, ...]
    check: Check


@dataclass(frozen=True)
class Finding:
    """Something that a rule found, as one: all places that are explained alike.

    regions, pages: how many places and pages there are in all; places: the first of them
    cut: whether there are more regions than could be counted; pages is exact all the same
    explanation: why a known system does this on purpose; None if nobody knows
    """

    rule: Rule
    severity: Severity
    what: str
    explanation: str | None
    places: tuple[Place, ...]
    regions: int
    pages: int
    bytes: int
    roots: tuple[int, ...]
    evidence: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Check: TypeAlias = "Callable[[Context], Iterator[Seen | Skipped]]"
