"""Files out of Debian packages, fetched by apt into the user's cache, never installed."""

from __future__ import annotations

import fcntl
import fnmatch
import io
import os
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.files import write_whole
from ptlive.guests.apt import Apt, check_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def cache_folder() -> Path:
    """Return ptlive's folder in $XDG_CACHE_HOME (usually ~/.cache), created if need be."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (given if given.is_absolute() else Path.home() / ".cache") / "ptlive"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PtliveError(f"cannot keep downloads in {folder}: {error.strerror}") from error
    return folder


def unpacked(package: str, pattern: str, release: str = "") -> Path | None:
    """Return the file of `package` that matches `pattern`, if it is in the cache."""
    check_release(release)
    return next(iter(sorted((cache_folder() / release / package).glob(pattern))), None)


def provide(package: str, pattern: str, progress: Callable[[str], None], release: str = "") -> Path:
    """Return the one file of a Debian package that matches `pattern`; see `provide_all`."""
    return provide_all(package, [pattern], progress, release)[0]


def provide_all(
    package: str, patterns: Sequence[str], progress: Callable[[str], None], release: str = ""
) -> list[Path]:
    """Return the files of a Debian package that match the patterns, one each, from the cache.

    The first time, apt downloads the package, of the system's own release or of the one
    named; a meta package, such as that of the current kernel, stands for the one that it
    depends on. A download that was cut off leaves its beginning for apt to go on with.
    Raises PtliveError when apt is missing, knows no such package or cannot reach its mirror.
    """
    found = _cached(package, patterns, release)
    if found:
        return found
    apt = Apt(cache_folder(), release)
    apt.check(package)
    with _alone():
        found = _cached(package, patterns, release)  # another process was quicker
        if found:
            return found
        apt.update(progress)
        archive = apt.download(apt.real_name(package), progress)
        folder = cache_folder() / release / package
        kept = [folder / name for name in _unpack(archive, patterns, folder)]
        # Files of an older version would stand beside these, and not belong to them.
        for old in folder.rglob("*"):
            if old.is_file() and old not in kept:
                old.unlink()
        archive.unlink()
    return kept


def _cached(package: str, patterns: Sequence[str], release: str) -> list[Path]:
    found = [unpacked(package, pattern, release) for pattern in patterns]
    return [path for path in found if path] if all(found) else []


@contextmanager
def _alone() -> Iterator[None]:
    with open(cache_folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(archive: Path, patterns: Sequence[str], folder: Path) -> list[str]:
    """Write the files of a package that match the patterns into `folder`; return their names."""
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        archive.unlink()
        raise PtliveError(f"{archive.name} arrived damaged and was removed: try again")
    found: dict[str, tuple[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            for pattern in patterns:
                content = tar.extractfile(member) if fnmatch.fnmatch(name, pattern) else None
                if content:
                    found[pattern] = name, content.read()
    for pattern in patterns:
        if pattern not in found:
            raise PtliveError(f"{archive.name} holds no {pattern}")
        name, data = found[pattern]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, data)
    return [found[pattern][0] for pattern in patterns]
