"""The registers that a stub describes in XML, and where they stand in its `g` packet.

See the gdb manual, appendix "Target Descriptions". A register without a `regnum` has the
number after the one before it, and in `g` they stand in the order of their numbers. The
text comes from outside: entities, which could make a short text endless, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

from ptlive.errors import PtliveError
from ptlive.wire.registers import Register

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_DOCUMENT = 1 << 18
_MOST_DOCUMENTS, _MOST_REGISTERS = 16, 4096
_HIGHEST_NUMBER = _MOST_BITS = 1 << 16


def registers(ask: Callable[[bytes], bytes], packet_size: int) -> dict[str, Register]:
    """Return all registers by name, in the order of their numbers.

    `ask` sends a packet and returns the reply. The first document is `target.xml`; each
    one that a document includes is read where it is included. Raises PtliveError for
    what is no such description.
    """
    description = _Description(lambda name: _document(ask, packet_size, name))
    description.read("target.xml")
    found: dict[str, Register] = {}
    offset = 0
    for number, (name, bits) in sorted(description.found.items()):
        size = -(-bits // 8)
        # Some stubs have a name twice (POWER's lr): the first is that of the core.
        found.setdefault(name, Register(number, offset, size))
        offset += size
    return found


def _document(ask: Callable[[bytes], bytes], packet_size: int, name: str) -> bytes:
    """Fetch one document, a packet at a time (qXfer)."""
    # Room for the letter before the text, and for characters that travel escaped.
    piece = packet_size - 5
    text = bytearray()
    while True:
        request = f"qXfer:features:read:{name}:{len(text):x},{piece:x}"
        reply = ask(request.encode())
        text += reply[1:]
        if reply.startswith(b"l"):
            return bytes(text)
        if not reply.startswith(b"m") or len(reply) == 1 or len(text) > _LONGEST_DOCUMENT:
            raise PtliveError("the stub does not describe its registers")


class _Description:
    def __init__(self, fetch: Callable[[str], bytes]) -> None:
        self._fetch = fetch
        self._read: set[str] = set()
        self._next = 0
        self.found: dict[int, tuple[str, int]] = {}

    def read(self, name: str) -> None:
        """Read one document, and those that it includes."""
        if name in self._read or len(self._read) == _MOST_DOCUMENTS:
            raise PtliveError("the stub's description of its registers does not end")
        self._read.add(name)
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._element
        parser.EntityDeclHandler = _refuse
        try:
            parser.Parse(self._fetch(name), True)
        except (expat.ExpatError, ValueError, KeyError) as error:
            raise PtliveError(
                f"the stub's description of its registers cannot be read: {error}"
            ) from None

    def _element(self, kind: str, attributes: dict[str, str]) -> None:
        if kind == "xi:include":
            self.read(attributes["href"])
        if kind != "reg":
            return
        number = int(attributes.get("regnum", self._next))
        bits = int(attributes["bitsize"])
        if not 0 <= number < _HIGHEST_NUMBER or not 0 < bits <= _MOST_BITS:
            raise ValueError("a register is out of bounds")
        if number in self.found or len(self.found) == _MOST_REGISTERS:
            raise ValueError("there are too many registers")
        self.found[number] = (attributes["name"], bits)
        self._next = number + 1


def _refuse(*_: object) -> None:
    raise ValueError("it declares an entity")
