"""When a guest is up: what its recipe says, and what a user may say of a system of his own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Says:
    """When it has written what a regular expression matches, to COM1 or to port 0xe9.

    The group `levels`, if there is one, is the number of paging levels that it runs with.
    With `whole_lines` only the beginning of a line counts, on COM1, once it has ended.
    """

    pattern: str
    whole_lines: bool = False

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise PtliveError(f"{self.pattern!r} is no regular expression: {error}") from error


@dataclass(frozen=True)
class Pages:
    """When its first vCPU has switched paging on."""


@dataclass(frozen=True)
class After:
    """So many seconds after its start: 0 is at once."""

    seconds: float


@dataclass(frozen=True)
class Reaches:
    """When its first vCPU comes to a linear address; there it is stopped, and stays so."""

    address: int
    name: str


Ready = Says | Pages | After | Reaches

#: How a user says it, for help and for errors.
WORDS = "REGEX, says:REGEX, paging, at:SYMBOL, at:ADDRESS, after:SECONDS or now"


def parse(text: str, symbol: Callable[[str], int]) -> Ready:
    """Read one of WORDS; whatever is none of the others is a regular expression.

    `symbol` returns the address of a name. Raises PtliveError for what cannot be read.
    """
    if text == "paging":
        return Pages()
    if text == "now":
        return After(0)
    how, colon, what = text.partition(":")
    if colon and how == "after":
        return After(_seconds(what))
    if colon and how == "at":
        return Reaches(_address(what, symbol), what)
    return Says(what if colon and how == "says" else text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII):
        raise PtliveError(f"'after:{text}' is no number of seconds, as after:2.5 is")
    return float(text)


def _address(text: str, symbol: Callable[[str], int]) -> int:
    if not text[:1].isdigit():
        return symbol(text)
    try:
        address = int(text, 0)
    except ValueError:
        raise PtliveError(f"'at:{text}' is no address, as at:0xffffffff80100000 is") from None
    if address >> 64:
        raise PtliveError(f"'at:{text}' does not fit into 64 bits")
    return address
