"""The guests of ptlive's that run now, as other commands find them.

State lives in $XDG_RUNTIME_DIR/ptlive, or /tmp/ptlive-UID where there is no such
directory: one private folder per guest, with its description (guest.json), its
sockets and its logs. The RAM is an unnamed file that QEMU alone holds, so that it
is gone with QEMU, however that ends.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.target.process import exit_code, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator

# sun_path holds 108 bytes, of which one is the final zero (unix(7)).
_LONGEST_SOCKET = 107
CPU_LOG = "cpu.log"


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One guest that ptlive started.

    Addresses are `HOST:PORT` or `unix:PATH`. `ram` is a file that holds the whole
    RAM (guest.memory bytes) and that another process of the same user can map
    shared or privately, as long as the guest runs; with more than 3 GB, the hole
    that physical addresses have below 4 GB is not in the file. `process_started` is the start
    time of process `pid` in clock ticks since boot; `started` is the same moment
    in seconds since 1970. `symbols` is the guest's ELF file where it has one. `levels`
    are 0 as long as it is not known with how many it pages; `said` is what made it
    known that it was up, empty before.
    """

    name: str
    kind: str
    levels: int
    accelerator: str
    memory: int
    cpus: int
    pid: int
    process_started: int
    started: float
    gdb: str
    qmp: str
    serial: str
    ram: str
    folder: str
    socket_folder: str
    symbols: str | None
    command: list[str]
    said: str = ""

    @property
    def serial_log(self) -> Path:
        """What the guest wrote to its first serial port."""
        return Path(self.folder, "serial.log")

    @property
    def debug_log(self) -> Path:
        """What the guest wrote to port 0xe9."""
        return Path(self.folder, "debugcon.log")

    @property
    def qemu_log(self) -> Path:
        """What QEMU itself said."""
        return Path(self.folder, "qemu.log")

    @property
    def cpu_log(self) -> Path:
        """What QEMU said of resets and triple faults."""
        return Path(self.folder, CPU_LOG)

    @property
    def alive(self) -> bool:
        """Whether its QEMU still runs."""
        return start_time(self.pid) == self.process_started

    @property
    def exit_code(self) -> int | None:
        """QEMU's exit status; None while it runs, and to others than who started it."""
        return None if self.alive else exit_code(self.pid)

    @property
    def debug_exit(self) -> int | None:
        """What was written to its isa-debug-exit, if it has ended by that."""
        # hw/misc/debugexit.c: status 2N+1, of which exit(3) keeps 8 bits.
        code = self.exit_code
        by_device = any(word.startswith("isa-debug-exit") for word in self.command)
        return code >> 1 if by_device and code is not None and code > 0 and code & 1 else None


def private_folder(path: Path) -> Path:
    """Create a folder that only this user may enter, or check one that is there.

    Raises PtliveError when it cannot be made, is no folder, or belongs to somebody
    else: /tmp is open to all, and whoever owns a folder may replace what is in it.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise PtliveError(f"{path} is no folder; remove it")
        if found.st_uid != os.geteuid():
            raise PtliveError(f"{path} belongs to another user (uid {found.st_uid}); not used")
        if found.st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise PtliveError(f"cannot keep state in {path}: {error.strerror}") from error
    return path


def state_folder() -> Path:
    """Return the folder with the state of running guests, created if need be.

    An XDG_RUNTIME_DIR that is relative, missing or another user's (as after su) is
    passed over, as the XDG base directory specification asks.
    """
    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if given.is_absolute() and given.is_dir() and given.stat().st_uid == os.geteuid():
        return private_folder(given / "ptlive")
    return _fallback_folder()


def _fallback_folder() -> Path:
    return private_folder(Path(f"/tmp/ptlive-{os.geteuid()}"))


@contextmanager
def locked() -> Iterator[Path]:
    """Hold the state folder alone: no other process adds or removes guests meanwhile."""
    folder = state_folder()
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def reserve(folder: Path, kind: str) -> tuple[str, Path, Path]:
    """Create the folder of a new guest; the caller holds the lock.

    Returns its name (kind, kind-2, kind-3, ...), its folder, and the folder for
    its sockets: the same one, unless that path is too long for a socket.
    """
    number = 1
    while True:
        name = kind if number == 1 else f"{kind}-{number}"
        home = folder / name
        try:
            home.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            continue
        if len(os.fsencode(home / "serial.sock")) <= _LONGEST_SOCKET:
            return name, home, home
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        return name, home, private_folder(_fallback_folder() / f"sockets-{digest}")


def record(guest: Guest) -> None:
    """Write down a guest, whole or not at all, for other commands to find."""
    path = Path(guest.folder, "guest.json")
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(guest), indent=1) + "\n")
    draft.replace(path)


def forget(guest: Guest) -> None:
    """Remove what is kept about a guest that has ended."""
    with locked():
        # Its name may have been given to another guest meanwhile; more may be known of it.
        kept = _read(Path(guest.folder))
        if kept and (kept.pid, kept.started) == (guest.pid, guest.started):
            _remove(guest)


def _remove(guest: Guest) -> None:
    shutil.rmtree(guest.folder, ignore_errors=True)
    shutil.rmtree(guest.socket_folder, ignore_errors=True)


def guests() -> list[Guest]:
    """Return the bundled guests that run, oldest first.

    What is left of guests that have ended is removed.
    """
    with locked() as folder:
        found = [_load(home) for home in folder.iterdir() if home.is_dir()]
    return sorted((guest for guest in found if guest), key=lambda guest: guest.started)


def _load(home: Path) -> Guest | None:
    """Return the guest of one folder, or remove the folder when its QEMU is gone."""
    if home.name.startswith("sockets-"):
        return None  # belongs to a guest whose folder is elsewhere
    guest = _read(home)
    if guest is None:
        # A start that was cut off, or another version's: it names no process.
        shutil.rmtree(home, ignore_errors=True)
    elif not guest.alive:
        _remove(guest)
        return None
    return guest


def _read(home: Path) -> Guest | None:
    try:
        return Guest(**json.loads((home / "guest.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def find(name: str | None = None) -> Guest | None:
    """Return the running guest of that name, or, without a name, the only one.

    Returns None when no name is given and nothing runs. Raises PtliveError when
    there is no guest of that name, or several to choose from.
    """
    running = guests()
    names = ", ".join(guest.name for guest in running)
    if name is None:
        if len(running) > 1:
            raise PtliveError(f"several guests run: name one of {names} by --guest")
        return running[0] if running else None
    for guest in running:
        if guest.name == name:
            return guest
    raise PtliveError(
        f"no guest '{name}' runs; " + (f"there are: {names}" if names else "none does")
    )
