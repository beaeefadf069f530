"""What a verification found: per oracle and property, and each disagreement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES

if TYPE_CHECKING:
    from ptlive.paging.graph import Graph


@dataclass
class Check:
    """One property (the aspect), as one oracle answered it.

    asked: False for what no access can show, which is listed all the same
    unchecked: how many could not be checked, by reason
    """

    oracle: str
    answered_by: str
    aspect: str
    asked: bool = True
    agreed: int = 0
    disagreed: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)

    @property
    def checked(self) -> int:
        """How many were answered."""
        return self.agreed + self.disagreed


@dataclass(frozen=True)
class Disagreement:
    """One difference between the tables, as walked, and an oracle.

    access: name of the access kind, None where the oracle knows none
    path: (level, entry address, entry) from the root
    reproduce: a command that asks the same again; answered_by: "" where that goes without
    saying
    """

    va: int
    access: str | None
    oracle: str
    aspect: str
    predicted: str
    observed: str
    path: tuple[tuple[int, int, int], ...]
    reproduce: str
    answered_by: str = ""


@dataclass(frozen=True)
class Quirk:
    """A known deviation of QEMU from the manual: named, explained, counted, never silent."""

    name: str
    accelerator: str
    reason: str
    cite: str


@dataclass
class Report:
    """A verification of one address space; version: of QEMU.

    addresses, accesses: how many a twin was asked about, by what they are, and how many
    accesses it made, by kind
    """

    tables: int
    leaves: int
    reached: int
    holes: int
    version: str
    checks: list[Check] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    quirks: Counter[Quirk] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    accesses: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, graph: Graph, version: str, seed: int) -> Report:
        """Return one of what was walked, in which nothing is checked yet."""
        return cls(
            tables=graph.tables,
            leaves=graph.leaves,
            reached=graph.reached(Kind.LEAF),
            holes=graph.reached(*HOLES),
            version=version,
            seed=seed,
        )

    def check(self, oracle: str, answered_by: str, aspect: str, *, asked: bool = True) -> Check:
        """Return the check of that oracle, answerer and property, a new one if there is none."""
        for check in self.checks:
            if (check.oracle, check.answered_by, check.aspect) == (oracle, answered_by, aspect):
                return check
        self.checks.append(Check(oracle, answered_by, aspect, asked))
        return self.checks[-1]

    @property
    def disagreed(self) -> int:
        """How many disagreements there are."""
        return sum(check.disagreed for check in self.checks)

    @property
    def never_checked(self) -> list[Check]:
        """Properties that were asked for and not checked once.

        One that nothing called for, such as CR2 where no fault is predicted, is none
        of them, as long as the same oracle checked anything at all.
        """
        spoke = {(check.oracle, check.answered_by) for check in self.checks if check.checked}
        return [
            check
            for check in self.checks
            if check.asked
            and not check.checked
            # A quirk is an answer, though not one that agrees.
            and not _explained(check)
            and (check.unchecked or (check.oracle, check.answered_by) not in spoke)
        ]


def _explained(check: Check) -> bool:
    """Tell whether all that was asked was answered, and explained by quirks."""
    return bool(check.unchecked) and all(why.startswith("quirk ") for why in check.unchecked)
