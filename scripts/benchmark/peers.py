"""Other tools that walk page tables, driven as their users drive them.

None is fetched, and none of their code is here: the user says where they are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from scripts.benchmark.timing import Way, since

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scripts.benchmark.guest import Subject
    from scripts.benchmark.timing import Run

GDB_PT_DUMP, PWNDBG = "gdb-pt-dump", "pwndbg"
#: Only the pages that are writable.
FILTERED = "gdb-pt-dump, -filter w"
# What the script in gdb prints around the command.
_SECONDS = "ptlive-bench: seconds="


def gdb_pt_dump(subject: Subject, checkout: Path, limit: float, *, writable: bool = False) -> Way:
    """Have gdb-pt-dump's `pt` list all pages: the command in gdb, and gdb as a whole.

    writable: only the pages that are
    """
    script = checkout / "pt.py"
    if not script.is_file():
        raise PtliveError(f"{checkout} is no checkout of gdb-pt-dump: there is no pt.py")
    name, command = (FILTERED, "pt -filter w") if writable else (GDB_PT_DUMP, "pt")
    return _in_gdb(name, subject, [f"source {script.absolute()}"], command, limit)


def pwndbg(subject: Subject, checkout: Path, limit: float) -> Way:
    """Have pwndbg list all pages by `vmmap`, from the tables as it is told to."""
    script = checkout / "gdbinit.py"
    if not script.is_file():
        raise PtliveError(f"{checkout} is no checkout of pwndbg: there is no gdbinit.py")
    before = [f"source {script.absolute()}", "set kernel-vmmap page-tables"]
    return _in_gdb(PWNDBG, subject, before, "vmmap", limit)


def _in_gdb(name: str, subject: Subject, before: Sequence[str], command: str, limit: float) -> Way:
    """Time one command of a gdb that attaches anew for each run.

    before: what loads it
    """

    @contextmanager
    def opened() -> Iterator[Run]:
        def run() -> dict[str, float]:
            commands = [
                "set pagination off",
                "set confirm off",
                *before,
                f"target remote {subject.socket}",
                "python import time; begun = time.perf_counter()",
                command,
                f"python print('{_SECONDS}', time.perf_counter() - begun)",
                # gdb would let the guest run when it ends.
                "disconnect",
            ]
            begun = time.perf_counter()
            said = _gdb(commands, limit, name)
            whole = since(begun)
            told = re.search(rf"{_SECONDS} ([0-9.e-]+)", said)
            lines = said[: told.start()].count("\n") if told else 0
            if not told or lines < _FEWEST_LINES:
                last = [line for line in said.split("\n") if line.strip()]
                raise PtliveError(f"{name} lists nothing: {last[-1][:200] if last else 'silent'}")
            return {name: float(told[1]), f"{name}, whole process": whole}

        yield run

    return Way(name, opened)


# Fewer mean that it failed: any Linux has some hundred.
_FEWEST_LINES = 50


def _gdb(commands: Sequence[str], limit: float, name: str) -> str:
    """Run gdb in batch mode and return all that it prints.

    Raises PtliveError without gdb, and when it takes longer than `limit` seconds.
    """
    if not shutil.which("gdb"):
        raise PtliveError("gdb is missing: install the package gdb")
    arguments = ["gdb", "-nx", "-batch", *(part for text in commands for part in ("-ex", text))]
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that all it starts ends with it
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise PtliveError(f"{name} took more than {limit:g} s and was ended") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return said.decode(errors="replace")
