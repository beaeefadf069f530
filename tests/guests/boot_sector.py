"""Systems of 512 bytes: the boot sector of a disk, in real mode, hand-assembled."""

from __future__ import annotations

HALT = b"\xf4\xeb\xfd"
# mov $0x10, %al; out %al, $0xf4; hlt
EXIT = b"\xb0\x10\xe6\xf4" + HALT
# lidt 0x7c40 (zeros: no vector has a handler); int3
TRIPLE_FAULT = b"\x0f\x01\x1e\x40\x7c\xcc"


def says(text: str, then: bytes = HALT) -> bytes:
    """Return a sector that writes a text to port 0xe9, a character at a time, then goes on."""
    said = b"".join(b"\xb0%c\xe6\xe9" % letter for letter in text.encode())
    code = said.ljust(0x30, b"\x90") + then
    assert len(code) < 0x40
    return code.ljust(510, b"\0") + b"\x55\xaa"
