"""`ptlive watch` and `ptlive changes` in gdb, while a Linux forks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ptlive.target import prompt
from tests.gdb.watching import gdb, told

if TYPE_CHECKING:
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu


def typed(guest: Guest, line: str) -> list[str]:
    """Return commands that have gdb type a line at the guest's prompt, and let it run."""
    place, data = guest.serial.removeprefix("unix:"), line.encode() + b"\n"
    return [
        "python import socket",
        "python serial = socket.socket(socket.AF_UNIX)",
        f"python serial.connect({place!r}); serial.sendall({data!r})",
        "continue",
    ]


def test_a_fork_write_protects_what_the_shell_has_written(linux_guest: Guest) -> None:
    """mm/memory.c, copy_present_pte: both have the page then, and neither may write it."""
    said = prompt.ask(linux_guest, "while read line; do echo $line; done < /proc/$$/maps")
    heap = re.search(r"^([0-9a-f]+)-[0-9a-f]+ rw-p .*\[heap\]", said, re.MULTILINE)
    assert heap, said
    va = int(heap[1], 16)
    said = gdb(
        linux_guest,
        f"ptlive watch {va:#x}",
        "ptlive changes on",
        *typed(linux_guest, "ls / > /dev/null"),
        "ptlive watch --delete all",
    )
    # Tables are in the direct map; some are in what the kernel's image was loaded to, too.
    assert re.search(r"1 +PTE +pte .* leaf +\d+ at 0x\w+ \(direct map\)", said)
    line, reach = told(said)
    assert re.match(r"ptlive watch 1, watchpoint \d+: PTE \(level 1, pte\) at ", line)
    assert line.endswith(": R/W cleared")
    assert re.fullmatch(rf"  {va:#018x} -> (0x\w+ \(4K page, RAM\)) r--u; before: \1 rw-u", reach)
    _, _, changes = said.partition("ptlive changes: ")
    assert re.search(r"^~ .* rw-u -> r--u .* rights +user$", changes, re.MULTILINE)
