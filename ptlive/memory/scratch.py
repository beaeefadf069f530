"""A file that QEMU writes for us, since it takes nothing but a path."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Scratch:
    """An empty file, open as `file`, and its path."""

    file: int
    path: str

    @property
    def quoted(self) -> str:
        """The path for a line of QEMU's human monitor (monitor/hmp.c, get_str)."""
        return '"' + self.path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def folders(room: int) -> list[str]:
    """Return where such a file of `room` bytes may be, best first: in memory, on disk.

    A QEMU in a container or behind an access policy may see one and not the other.
    """
    found = []
    for folder in ("/dev/shm", tempfile.gettempdir()):
        if os.access(folder, os.W_OK | os.X_OK) and folder not in found:
            disk = os.statvfs(folder)
            if disk.f_bavail * disk.f_frsize >= room:
                found.append(folder)
    return found


@contextmanager
def scratch(within: str, announce: Callable[[str], None]) -> Iterator[Scratch]:
    """Make a file for QEMU to write, in a new folder `within` another, for a `with` block.

    QEMU may be another user: anybody who knows the file's name may write it, and the
    name cannot be guessed or listed. `announce` is told the folder that somebody is to
    remove should we be killed. Raises PtliveError if there can be no such file.
    """
    folder = Path(within).absolute() / f"ptlive-{secrets.token_hex(8)}"
    try:
        announce(str(folder))
        folder.mkdir(mode=0o700)
        try:
            folder.chmod(0o711)
            path = folder / secrets.token_hex(16)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(file, 0o622)
                yield Scratch(file, str(path))
            finally:
                os.close(file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise PtliveError(f"cannot keep a file in {within}: {error.strerror}") from error
