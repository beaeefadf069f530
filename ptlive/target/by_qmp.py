"""A guest seen through QMP alone: its stub may be somebody else's, and it may run."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.cache import FrameCache
from ptlive.memory.qmp import QmpMemory
from ptlive.memory.ram_map import RamMap
from ptlive.target.attach import Target
from ptlive.target.cpu import accelerator, read_cpus
from ptlive.target.journal import Journal
from ptlive.wire.qmp_stub import QmpStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import Memory
    from ptlive.wire.qmp import Qmp

# Whoever reads our end of a pipe sees that we are gone, and removes what we named in full.
_JANITOR = 'while IFS= read -r one; do set -- "$@" "${one#folder }"; done; rm -rf -- "$@"'


@contextmanager
def attach_by_qmp(qmp: Qmp, *, live: bool = False) -> Iterator[Target]:
    """Look at the guest of a QMP session for a `with` block; it is never stopped nor let run.

    live: it may run meanwhile; else its frames are kept once they are read. Raises
    PtliveError if it runs and was not to, or did so during the block.
    """
    qmp.resumed()  # from now on
    if not live and qmp.running():
        raise PtliveError(
            "the guest runs, and the gdb stub that would stop it is not used: stop it first, "
            "or give --live to read it as it runs"
        )
    janitor = _Janitor()
    try:
        ram_map = RamMap.parse(qmp.human("info mtree -f"))
        journal = Journal(janitor.announce)
        source = QmpMemory(qmp, ram_map, journal.record_folder)
        memory: Memory = source if live else FrameCache(source)
        stub = QmpStub(qmp, memory)
        yield Target(
            address=qmp.address,
            stub=stub,
            cpus=tuple(read_cpus(stub)),
            ram_map=ram_map,
            memory=memory,
            journal=journal,
            was_running=qmp.running(),
            accelerator=accelerator(stub),
            version=_version(qmp),
            notes=(f"{source.why_text}: what is read over QMP comes as text",)
            if source.why_text
            else (),
            pid=qmp.pid,
            qmp=qmp,
            memory_source="qmp",
        )
        if not live and qmp.resumed():
            raise PtliveError(
                "the guest ran while it was read: something else let it, such as another monitor"
            )
    finally:
        janitor.close()


class _Janitor:
    """Removes folders that were announced should we be killed; there is no guard here."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def announce(self, line: str) -> None:
        """Hand over `folder PATH`, before it is made; other lines tell of no folder."""
        if not line.startswith("folder "):
            return
        if self._process is None:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _JANITOR],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PtliveError("the process that would remove our files has ended") from None

    def close(self) -> None:
        """End it; what it would remove is gone already."""
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process.wait()


def _version(qmp: Qmp) -> str:
    """Return QEMU's version, as the stub's monitor spells it."""
    found = qmp.command("query-version")
    if not isinstance(found, dict):
        raise PtliveError(f"the QMP at {qmp.address} does not tell QEMU's version")
    number = ".".join(str(found["qemu"][part]) for part in ("major", "minor", "micro"))
    return f"{number} {found['package']}".strip()
