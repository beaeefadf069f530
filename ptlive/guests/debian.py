"""Files out of Debian packages, fetched by apt into the user's cache, never installed."""

from __future__ import annotations

import fcntl
import fnmatch
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UPDATE = "run `sudo apt-get update` (scripts/setup does it), then try again"


def cache_folder() -> Path:
    """Return ptlive's folder in $XDG_CACHE_HOME (usually ~/.cache), created if need be."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (given if given.is_absolute() else Path.home() / ".cache") / "ptlive"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PtliveError(f"cannot keep downloads in {folder}: {error.strerror}") from error
    return folder


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that others see all of it or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(data)
    os.replace(draft.name, path)


def unpacked(package: str, pattern: str) -> Path | None:
    """Return the file of `package` that matches `pattern`, if it is in the cache."""
    return next(iter(sorted((cache_folder() / package).glob(pattern))), None)


def provide(package: str, pattern: str, progress: Callable[[str], None]) -> Path:
    """Return the one file of a Debian package that matches `pattern`, from the cache.

    The first time, apt downloads the package; a meta package, such as that of the
    current kernel, stands for the one that it depends on. A download that was cut
    off leaves its beginning for apt to go on with. Raises PtliveError when apt is
    missing, knows no such package or cannot reach its mirror.
    """
    found = unpacked(package, pattern)
    if found:
        return found
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if not shutil.which(tool):
            raise PtliveError(
                f"{tool} is missing: {package} comes as a Debian package, so this guest "
                "needs a Debian (or a derivative that has that package)"
            )
    with _alone():
        found = unpacked(package, pattern)  # another process was quicker
        if found:
            return found
        archive = _download(_real_name(package), progress)
        name, data = _extract(archive, pattern)
        target = cache_folder() / package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)
        archive.unlink()
    return target


@contextmanager
def _alone() -> Iterator[None]:
    with open(cache_folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _show(package: str) -> str:
    """Return what apt's lists say of a package."""
    done = _run(["apt-cache", "show", "--no-all-versions", package])
    if done.returncode != 0 or not done.stdout.strip():
        raise PtliveError(f"apt knows no package {package}: {_UPDATE}")
    return done.stdout


def _real_name(package: str) -> str:
    """Return the package that holds the files: a kernel's meta package names another."""
    depends = re.search(r"^Depends: *(linux-image-\S+)", _show(package), re.MULTILINE)
    return depends[1] if depends else package


def _download(package: str, progress: Callable[[str], None]) -> Path:
    """Have apt fetch a package, whose hash it checks against its signed lists."""
    folder = cache_folder() / "downloads"
    folder.mkdir(exist_ok=True)
    size = re.search(r"^Size: (\d+)", _show(package), re.MULTILINE)
    progress(f"downloading {package}" + (f", {int(size[1]) / 1e6:.1f} MB" if size else ""))
    # The option: apt run by root would warn that its own user may not write here.
    done = _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], folder)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = said[0].removeprefix("E:").strip(" .") if said else "no reason given"
        raise PtliveError(
            f"apt could not download {package}: {reason}. If its lists are old, {_UPDATE}"
        )
    return next(folder.glob(f"{package}_*.deb"))


def _extract(archive: Path, pattern: str) -> tuple[str, bytes]:
    """Return the name and content of the one file in a package that matches `pattern`."""
    found: tuple[str, bytes] | None = None
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        archive.unlink()
        raise PtliveError(f"{archive.name} arrived damaged and was removed: try again")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            content = tar.extractfile(member) if fnmatch.fnmatch(name, pattern) else None
            if content:
                found = name, content.read()
    if not found:
        raise PtliveError(f"{archive.name} holds no {pattern}")
    return found
