"""drgn, which translates addresses over QMP, in a Python of its own.

It lists no mappings, so that only translations are compared. It needs the kernel's VMCOREINFO,
which a user gets by `-device vmcoreinfo`, and the linear address of the root table, which it
reads from the kernel's structures where it has the kernel's debug information. Both are given to
it here, and not timed.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from scripts.benchmark.timing import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64
    from scripts.benchmark.guest import Subject
    from scripts.benchmark.plain_c import Leaves
    from scripts.benchmark.timing import Run

DRGN = "drgn"
_SCRIPT = Path(__file__).with_name("drgn_translate.py")
_PAGE = 4096
_SECONDS = 120.0


def drgn(subject: Subject, python: str, leaves: Leaves, addresses: U64) -> Way:
    """Have drgn translate these addresses.

    python: an interpreter that can import drgn; leaves: the guest's, to find the root table's
    own address. Raises PtliveError where what drgn needs is not found.
    """
    question = {
        "qmp": subject.qmp.removeprefix("unix:"),
        "vmcoreinfo": vmcoreinfo(Path(subject.guest.ram)),
        "root": linear_address(leaves, subject.root),
        "addresses": addresses.tolist(),
    }

    @contextmanager
    def opened() -> Iterator[Run]:
        def run() -> dict[str, float]:
            answer = _ask(python, question)
            return {DRGN: float(answer["seconds"])}

        yield run

    return Way(DRGN, opened)


def _ask(python: str, question: dict[str, object]) -> dict[str, float]:
    try:
        done = subprocess.run(
            [python, str(_SCRIPT)],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except OSError as error:
        raise PtliveError(f"cannot run {python}: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise PtliveError(f"drgn took more than {_SECONDS:g} s and was ended") from None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise PtliveError(f"drgn does not work: {last[:200]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def linear_address(leaves: Leaves, physical: int) -> int:
    """Return where the kernel has this physical address mapped. Raises PtliveError if nowhere."""
    pa = np.uint64(physical)
    size = np.uint64(1) << (np.uint64(12) + np.uint64(9) * (leaves.level - 1).astype(np.uint64))
    holds = (leaves.va >> np.uint64(63) == 1) & (leaves.pa <= pa) & (pa - leaves.pa < size)
    at = np.flatnonzero(holds)
    if not at.size:
        raise PtliveError("the guest's kernel does not map its root table")
    return int(leaves.va[at[0]]) + physical - int(leaves.pa[at[0]])


def vmcoreinfo(file: Path) -> str:
    """Return Linux's VMCOREINFO from the file of a guest's RAM (kernel/crash_core.c).

    It is text in a page of its own. Holes of the file are passed over. Raises PtliveError if
    there is none.
    """
    with open(file, "rb", buffering=0) as ram:
        size, at = os.fstat(ram.fileno()).st_size, 0
        while at < size:
            try:
                at = os.lseek(ram.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            end = os.lseek(ram.fileno(), at, os.SEEK_HOLE)
            while at < end:
                part = os.pread(ram.fileno(), min(1 << 24, end - at), at)
                pages = np.frombuffer(part, np.uint8)[: len(part) // _PAGE * _PAGE]
                rows = pages.reshape(-1, _PAGE)
                first = rows[:, :8].copy().view(np.uint64)[:, 0]
                for row in np.flatnonzero(first == np.frombuffer(b"OSRELEAS", np.uint64)[0]):
                    text: bytes = rows[row].tobytes().partition(b"\0")[0]
                    if b"\nPAGESIZE=4096\n" in text:
                        return text.decode(errors="replace")
                at += max(len(part), _PAGE)
    raise PtliveError("there is no VMCOREINFO in the guest's RAM, which drgn needs")
