"""A guest that is held, as long as it is: what all values of the library that ask it go through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.analysis.profile import Profile
    from ptlive.arrays import Memory
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest as Running

GIVEN_BACK = "the guest was given back: ask it inside the `with` block"


@dataclass(eq=False)
class Held:
    """An attached guest, and whether it may still be asked.

    running: the bundled guest that it is, if it is one
    scanned: what to look through all of RAM with
    why_not: why it may not be asked any more
    systems: what was found of the system, see `answers.system`
    """

    target: Target
    running: Running | None
    scanned: Memory
    why_not: str | None = None
    systems: dict[tuple[bytes, int], Profile] = field(default_factory=dict)

    def check(self) -> None:
        """Raise PtliveError if the guest may not be asked any more."""
        if self.why_not is not None:
            raise PtliveError(self.why_not)

    def end(self, why: str = GIVEN_BACK) -> None:
        """Let nothing be asked from now on."""
        if self.why_not is None:
            self.why_not = why
