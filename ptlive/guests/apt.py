"""apt as a way to a package's file: of the system's release, or of another one.

For another release apt keeps lists of its own in the user's cache, so that neither the
system's sources nor its lists change. They are signed, and checked with Debian's keyring.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Callable

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_MIRROR = "http://deb.debian.org/debian/"
_TOOLS = ("apt-get", "apt-cache", "dpkg-deb")
# The option: apt run by root would warn that its own user may not write in our folders.
_OURS = ("-q", "-o", "APT::Sandbox::User=root")


@dataclass(frozen=True)
class Apt:
    """Where packages come from: `release` is a suite of Debian's, "" the system's own sources.

    `folder` is ours, for what apt keeps. Every method raises PtliveError, with apt's
    own reason, when it cannot do what it is asked.
    """

    folder: Path
    release: str = ""

    def check(self, package: str) -> None:
        """Check that there is an apt, and a name of a release that can be one."""
        for tool in _TOOLS:
            if not shutil.which(tool):
                raise PtliveError(
                    f"{tool} is missing: {package} comes as a Debian package, so this guest "
                    "needs a Debian (or a derivative that has that package)"
                )
        check_release(self.release)

    @property
    def remedy(self) -> str:
        """What to do when the lists do not have what they should."""
        if self.release:
            return "try again later, or another release"
        return "run `sudo apt-get update` (scripts/setup does it), then try again"

    def update(self, progress: Callable[[str], None]) -> None:
        """Fetch the lists of another release; the system's own are the system's matter."""
        if not self.release:
            return
        if not KEYRING.exists():
            raise PtliveError(
                f"{KEYRING} is missing, with which the lists of {self.release} are checked: "
                "install the package debian-archive-keyring"
            )
        progress(f"fetching the package lists of Debian {self.release}")
        for name in ("lists/partial", "cache/archives/partial"):
            (self._own / name).mkdir(parents=True, exist_ok=True)
        source = f"deb [signed-by={KEYRING}] {_mirror()} {self.release} main\n"
        (self._own / "sources.list").write_text(source)
        done = _run(["apt-get", *self._options, "-o", "APT::Update::Error-Mode=any", "update"])
        if done.returncode != 0:
            raise PtliveError(
                f"apt could not fetch the lists of Debian {self.release}: {_reason(done)}"
            )

    def show(self, package: str) -> str:
        """Return what the lists say of a package."""
        command = ["apt-cache", *self._options, "show", "--no-all-versions", package]
        done = _run(command)
        if done.returncode != 0 or not done.stdout.strip():
            where = f" in {self.release}" if self.release else ""
            raise PtliveError(f"apt knows no package {package}{where}: {self.remedy}")
        return done.stdout

    def real_name(self, package: str) -> str:
        """Return the package that holds the files: a kernel's meta package names another."""
        depends = re.search(r"^Depends: *(linux-image-\S+)", self.show(package), re.MULTILINE)
        return depends[1] if depends else package

    def download(self, package: str, progress: Callable[[str], None]) -> Path:
        """Have apt fetch a package, whose hash it checks against its signed lists."""
        folder = self.folder / "downloads" / self.release
        folder.mkdir(parents=True, exist_ok=True)
        size = re.search(r"^Size: (\d+)", self.show(package), re.MULTILINE)
        progress(f"downloading {package}" + (f", {int(size[1]) / 1e6:.1f} MB" if size else ""))
        done = _run(["apt-get", *self._options, "download", package], folder)
        if done.returncode != 0:
            raise PtliveError(
                f"apt could not download {package}: {_reason(done)}. If its lists are old, "
                f"{self.remedy}"
            )
        return next(folder.glob(f"{package}_*.deb"))

    @property
    def _own(self) -> Path:
        return self.folder / "apt" / self.release

    @property
    def _options(self) -> tuple[str, ...]:
        if not self.release:
            return _OURS
        places = {
            "Etc::SourceList": self._own / "sources.list",
            "Etc::SourceParts": "/dev/null",
            "State::Lists": self._own / "lists",
            "Cache": self._own / "cache",
            # What is installed here has no say in which version is the newest there.
            "State::status": "/dev/null",
        }
        settings = (("-o", f"Dir::{name}={place}") for name, place in places.items())
        return (*_OURS, *(word for setting in settings for word in setting))


def check_release(release: str) -> None:
    """Check that a word can be the name of a suite. Raises PtliveError."""
    if release and not re.fullmatch(r"[a-z][a-z0-9-]{1,40}", release):
        raise PtliveError(f"{release!r} is no release of Debian's, such as bookworm-backports")


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return said[0].removeprefix("E:").strip(" .") if said else "no reason given"


def _mirror() -> str:
    """Return the mirror of Debian that the system itself uses, if it uses one."""
    done = _run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"])
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "Debian" and not words[1].endswith("-security"):
            return words[2]
    return _MIRROR
