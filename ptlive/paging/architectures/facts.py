"""What is known of a CPU when its paging is asked for, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptlive.arrays import Memory
    from ptlive.paging.access import AccessRules
    from ptlive.paging.format import Format


@dataclass(frozen=True)
class Facts:
    """Of one vCPU: registers by the stub's names, and features; None where it is not told.

    memory: physical, for what an architecture keeps there
    """

    registers: Mapping[str, int | None]
    features: Mapping[str, int | None]
    memory: Memory

    def register(self, name: str) -> int:
        """Return a register. Raises PtliveError if it is not known."""
        value = self.registers.get(name)
        if value is None:
            raise PtliveError(f"the stub does not tell {name}, without which no table is found")
        return value

    def has(self, feature: str, unknown: bool = True) -> bool:
        """Tell whether the CPU has a feature; unknown: what to say if that is not told."""
        value = self.features.get(feature)
        return unknown if value is None else bool(value)


class Wanted(NamedTuple):
    """What the user insists on: a root register's value, a format's name, a PKRU."""

    root: int | None = None
    format: str | None = None
    pkru: int | None = None


class Paging(NamedTuple):
    """How a vCPU pages.

    roots: as many as the format has; origin: the register that they are in
    not_modelled: what is on and not modelled, with what that means
    """

    format: Format
    roots: tuple[int, ...]
    origin: str
    rules: AccessRules
    not_modelled: Mapping[str, str]


def root_address(fmt: Format, root: int, ignored: int = 0) -> int:
    """Return the table that a root register's value means; ignored: bits that are none of it.

    Raises PtliveError for what is no such value.
    """
    if root & ~fmt.root_mask & ~ignored:
        raise PtliveError(f"{root:#x} is not the address of a root table")
    return root & fmt.root_mask
