"""What a selftest found: per bench and property, and each difference."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.analysis.report import Check, Quirk


@dataclass(frozen=True)
class RuleDifference:
    """One thing that the MMU did otherwise than the rules say.

    va: None where a table entry is not as it should be after accesses to many
    controls: what is on of WP, NXE, SMEP, SMAP, PKE, and PKRU
    path: for each level from the root, how its entry was made, its address and value
    """

    aspect: str
    va: int | None
    access: str
    controls: str
    predicted: str
    observed: str
    path: tuple[tuple[str, int, int], ...]
    reproduce: str


@dataclass
class BenchReport:
    """One bench and CPU: how many addresses and accesses, and how each property fared."""

    levels: int
    cpu: str
    addresses: int
    accesses: int = 0
    checks: list[Check] = field(default_factory=list)
    quirks: Counter[Quirk] = field(default_factory=Counter)
    differences: list[RuleDifference] = field(default_factory=list)

    @property
    def disagreed(self) -> int:
        """How many disagreements there are; `differences` tells the first of them."""
        return sum(check.disagreed for check in self.checks)


@dataclass
class SelftestReport:
    """A whole selftest; answered_by: who, version: of which QEMU."""

    answered_by: str
    version: str
    seed: int
    benches: list[BenchReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def disagreed(self) -> int:
        """How many disagreements there are."""
        return sum(bench.disagreed for bench in self.benches)

    @property
    def accesses(self) -> int:
        """How many accesses were made."""
        return sum(bench.accesses for bench in self.benches)
