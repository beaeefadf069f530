"""What a proxy must know of a packet before it passes it on, and nothing more.

Packets travel whole and as they are. Names and meanings: the gdb manual's appendix "GDB
Remote Serial Protocol", and QEMU's gdbstub.c, gdb_handle_packet.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from ptlive.wire.packet import PacketError, checksum

#: Stands for the byte 3 between two packets; no body of a packet is this.
INTERRUPT = b"#"

#: Above what any QEMU takes (gdbstub/internals.h, MAX_PACKET_LENGTH: 131104).
LONGEST_REQUEST = 1 << 18

# A packet, one that has not ended, one that another one cuts off, or an interrupt between
# packets. Whatever else stands there (acknowledgements, the end of a packet that was never
# begun) QEMU ignores too (gdbstub.c, RS_IDLE).
_REQUEST = re.compile(rb"\$([^$#]*)#(..)|(\$[^$#]*(?:#.?)?\Z)|\$[^$#]*(?=\$)|(\x03)", re.DOTALL)

_ASKING = re.compile(rb"[?gpmxHTqQ!]|vCont\?|vMustReplyEmpty|vFile")
_RESUMING = re.compile(rb"[cCsSDkRr]|bc|bs|vCont;|vKill|vAttach|vRun")
_ANSWERED_BY_STOP = re.compile(rb"[?cCsS]|bc|bs|vCont;|vAttach|vRun")
_LETTING_RUN = re.compile(rb"[cCsS]|bc|bs|vCont;")
_ONE_STEP = re.compile(rb"vCont;s:(p[0-9a-fA-F]+\.)?[0-9a-fA-F]+")
_STOPPED_THREAD = re.compile(rb"T[0-9a-fA-F]{2}.*?thread:([p.0-9a-fA-F]+);", re.DOTALL)


class Kind(Enum):
    """What a packet does to the guest."""

    ASKS = auto()
    """Nothing; or it sets something that is kept for each client."""
    CHANGES = auto()
    """It changes memory, registers, breakpoints, or nobody knows what."""
    RESUMES = auto()
    """The guest goes on, or ends."""


def kind(payload: bytes) -> Kind:
    """Tell what a packet does; one that is not known counts as a change."""
    if payload.startswith(b"qRcmd,"):
        # What other commands of the monitor do is not for us to say.
        return Kind.ASKS if _command(payload).startswith(b"info ") else Kind.CHANGES
    if _RESUMING.match(payload):
        return Kind.RESUMES
    return Kind.ASKS if _ASKING.match(payload) else Kind.CHANGES


def answered_by_stop(payload: bytes) -> bool:
    """Tell whether its reply is a stop packet."""
    return _ANSWERED_BY_STOP.match(payload) is not None and not payload.startswith(b"vCont?")


def lets_run(payload: bytes) -> bool:
    """Tell whether the guest runs until that reply comes."""
    return _LETTING_RUN.match(payload) is not None


def is_one_step(payload: bytes) -> bool:
    """Tell whether it makes one named vCPU, and no other, execute one instruction."""
    return _ONE_STEP.fullmatch(payload) is not None


def stopped_thread(reply: bytes) -> bytes | None:
    """Return the thread that a stop packet names."""
    found = _STOPPED_THREAD.match(reply)
    return found[1] if found else None


def monitor_cpu(payload: bytes) -> bytes | None:
    """Return the number in the monitor's command `cpu N`, if that is what it is."""
    if not payload.startswith(b"qRcmd,"):
        return None
    word, _, number = _command(payload).partition(b" ")
    return number.strip() if word == b"cpu" and number.strip().isdigit() else None


def monitor(command: bytes) -> bytes:
    """Return the payload that runs a command of the human monitor."""
    return b"qRcmd," + command.hex().encode()


def refusal(sentence: str) -> bytes:
    """Return the payload of an error that says why (QEMU itself has only numbers)."""
    return b"E." + sentence.encode("ascii", "replace")


def _command(payload: bytes) -> bytes:
    try:
        return bytes.fromhex(payload[len(b"qRcmd,") :].decode("ascii")).strip()
    except ValueError:
        return b""


class Requests:
    """Split what a client sends into packets and interrupts."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Take more bytes; return the bodies of packets (or INTERRUPT), and how many were bad.

        Bad is a packet whose checksum is wrong: the client is to send it again. Raises
        PacketError for a packet of more than LONGEST_REQUEST bytes.
        """
        begun = bool(self._held) and b"#" not in self._held[-2:]
        self._held += data
        if len(self._held) > LONGEST_REQUEST:
            raise PacketError("a packet is too long")
        if begun and b"#" not in data and b"$" not in data:
            return [], 0  # so that a long packet in small pieces is not searched for each
        held = bytes(self._held)
        bad = 0
        requests = []
        self._held = bytearray()
        for found in _REQUEST.finditer(held):
            body, digits, unfinished, interrupt = found.groups()
            if body is not None and _told(digits) == checksum(body):
                requests.append(body)
            elif body is not None:
                bad += 1
            elif unfinished is not None:
                self._held = bytearray(unfinished)
            elif interrupt is not None:
                requests.append(INTERRUPT)
        return requests, bad


def _told(digits: bytes) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        return -1


def framed(body: bytes) -> bytes:
    """Return a body, which is escaped already, between `$` and its checksum."""
    return b"$%s#%02x" % (body, checksum(body))
