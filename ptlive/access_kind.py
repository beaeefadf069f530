"""The kinds of access that paging tells apart; both pillars speak of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Access(enum.Enum):
    """Whether an access reads, writes or fetches."""

    READ = "read"
    WRITE = "write"
    FETCH = "fetch"


@dataclass(frozen=True)
class AccessKind:
    """An access as far as paging tells accesses apart.

    ac: RFLAGS.AC, which lets explicit supervisor-mode data accesses through SMAP
    (SDM vol. 3A 4.6.1).
    """

    access: Access
    user: bool = False
    ac: bool = False

    @property
    def name(self) -> str:
        """The name that options and JSON use, such as supervisor-read-ac."""
        mode = "user" if self.user else "supervisor"
        return f"{mode}-{self.access.value}{'-ac' if self.ac else ''}"

    def __str__(self) -> str:
        mode = "user" if self.user else "supervisor"
        return f"{mode} {self.access.value}{' with AC=1' if self.ac else ''}"


ACCESS_KINDS = {
    kind.name: kind
    for kind in (
        AccessKind(Access.READ),
        AccessKind(Access.WRITE),
        AccessKind(Access.FETCH),
        AccessKind(Access.READ, ac=True),
        AccessKind(Access.WRITE, ac=True),
        AccessKind(Access.READ, user=True),
        AccessKind(Access.WRITE, user=True),
        AccessKind(Access.FETCH, user=True),
    )
}
