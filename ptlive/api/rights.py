"""Rights as one reads them and as one asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.show import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptlive.paging.format import Format


class Rights(str):
    """What a mapping grants, folded over all levels: letters, such as "rw-u".

    It is a string, and compares as one: r is always there, then the format's own rights (of
    x86-64 write, execute, user), "-" where denied. `allows` asks for one by its name.
    """

    __slots__ = ("_granted",)
    _granted: Mapping[str, bool]

    @classmethod
    def of(cls, fmt: Format, folded: int) -> Rights:
        """Return folded rights, as a walk has them."""
        return cls.named(fmt, rights.names(fmt, folded))

    @classmethod
    def named(cls, fmt: Format, granted: Mapping[str, bool]) -> Rights:
        """Return rights by name."""
        made = cls(words.rights(fmt, granted))
        made._granted = granted
        return made

    def allows(self, *names: str) -> bool:
        """Tell whether all these rights are granted: "write", "execute", "user".

        Raises PtliveError for a name that the format does not have.
        """
        for name in names:
            if name not in self._granted:
                known = ", ".join(self._granted)
                raise PtliveError(f"there is no right {name!r}: there are {known}")
        return all(self._granted[name] for name in names)

    def as_dict(self) -> dict[str, bool]:
        """Return each right's name and whether it is granted."""
        return dict(self._granted)
