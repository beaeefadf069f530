"""What ptlive needs of this computer: what is missing or slow, and why that matters."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests import debian, linux, menu
from ptlive.target import running
from ptlive.target.machine import QEMU, host_has_la57, kvm_paging

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBRARIES = (
    "numpy",
    "pygdbmi",
    "capstone",
    "qemu.qmp",
    "pyelftools",
    "zstandard",
    "click",
    "rich",
)
# Not everybody wants them: what each is for.
_OPTIONAL = {
    "pyarrow": "ptlive export writes Parquet, Arrow and CSV by it: pip install ptlive[data]",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `ok` is None where ptlive works without it, but less well. `advice` tells what
    to do, and is empty when there is nothing to do.
    """

    name: str
    ok: bool | None
    text: str
    advice: str = ""


def examine() -> list[Check]:
    """Look at all that ptlive needs of this computer; takes well under a second.

    Nothing is changed, except that what is left of ended guests is removed.
    """
    with ThreadPoolExecutor() as pool:  # the programs are asked for their versions at once
        return list(pool.map(lambda check: check(), _CHECKS))


def program_version(command: str) -> str | None:
    """Return the version that a program tells by --version, None if there is no such program."""
    path = shutil.which(command)
    if not path:
        return None
    done = subprocess.run(
        [path, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    # gdb and make put the version last on the first line, QEMU and gcc before a remark in
    # parentheses; a distribution's own number in parentheses may come first.
    first = re.sub(r"\([^)]*\)", "", (done.stdout.splitlines() or [""])[0])
    found = re.search(r"\d+(\.\d+)+", first)
    return found[0] if found else first.strip() or None


def _python() -> Check:
    version = platform.python_version()
    return Check("Python", True, f"{version}, {sys.executable}")


def _libraries() -> Check:
    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "install ptlive with its dependencies: scripts/setup, or pip install ptlive"
        return Check("Libraries", False, f"missing: {', '.join(missing)}", advice)
    return Check("Libraries", True, ", ".join(found))


def _optional() -> Check:
    found, advice = [], []
    for name, why in _OPTIONAL.items():
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
            advice.append(why)
    return Check(
        "Optional libraries", None if advice else True, ", ".join(found), "; ".join(advice)
    )


def _qemu() -> Check:
    version = program_version(QEMU)
    if not version:
        advice = "install qemu-system-x86; only bundled guests need it, not attaching to others"
        return Check("QEMU", False, f"{QEMU} is missing", advice)
    if int(version.split(".")[0]) < 7:
        return Check("QEMU", None, version, "ptlive is tested with QEMU 7.2 and newer")
    return Check("QEMU", True, f"{version}, {shutil.which(QEMU)}")


def _gdb() -> Check:
    version = program_version("gdb")
    if not version:
        return Check("gdb", None, "gdb is missing", "install gdb if you want --memory gdb")
    return Check("gdb", True, f"{version}, {shutil.which('gdb')}")


def _kvm() -> Check:
    name, slow = "KVM", "guests run under TCG, QEMU's own MMU, which is slower"
    if not os.path.exists("/dev/kvm"):
        return Check(name, None, "/dev/kvm is not there", slow)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        advice = f"join the group kvm to ask the CPU itself; until then {slow}"
        return Check(name, None, "/dev/kvm may not be opened by this user", advice)
    paging = kvm_paging()
    behind = "usable" if paging == "unknown" else f"usable, with {paging}"
    if not host_has_la57():
        return Check(name, True, f"{behind}, for 4 levels", "five levels need TCG: no LA57 here")
    return Check(name, True, f"{behind}, for 4 and 5 levels")


def _menu() -> Check:
    if menu.ELF.exists():
        return Check("Menu guest", True, str(menu.ELF))
    tools = [tool for tool in ("gcc", "ld", "make") if not shutil.which(tool)]
    if not menu.has_source():
        return Check("Menu guest", False, f"{menu.ELF} is missing", "install ptlive again")
    if tools:
        advice = f"install {', '.join(tools)}; scripts/setup does it"
        return Check("Menu guest", False, "not built, and no compiler", advice)
    return Check("Menu guest", None, "not built yet", "the first start builds it")


def _linux() -> Check:
    kernel = linux.cached()
    if kernel:
        return Check("Linux guest", True, f"{kernel.name}, in {debian.cache_folder()}")
    if not shutil.which("apt-get"):
        advice = "that guest is made of Debian packages: start it on a Debian"
        return Check("Linux guest", None, "not downloaded, and there is no apt-get", advice)
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        return Check(
            "Linux guest", None, "apt has no package lists", "run `sudo apt-get update` first"
        )
    return Check("Linux guest", None, "not downloaded yet", "its first start fetches 28 MB")


def _memory() -> Check:
    told = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = int(told[1]) >> 10 if told else 0
    need = linux.RECIPE.memory >> 20
    if free < need:
        advice = f"a Linux guest has {need} MB of RAM: end something, or give it less"
        return Check("Memory", None, f"{free} MB available", advice)
    return Check("Memory", True, f"{free} MB available")


def _guests() -> Check:
    folder = running.state_folder()
    before = {home.name for home in folder.iterdir() if (home / "guest.json").exists()}
    live = running.guests()
    text = ", ".join(f"{guest.name} (pid {guest.pid})" for guest in live) or "none"
    gone = before - {guest.name for guest in live}
    if gone:
        text += f"; removed what was left of {', '.join(sorted(gone))}"
    return Check("Running guests", True, f"{text}; state in {folder}")


def _careful(name: str, check: Callable[[], Check]) -> Callable[[], Check]:
    """Make a check that cannot be done a failed one: the others are still of use."""

    def run() -> Check:
        try:
            return check()
        except (PtliveError, OSError, subprocess.TimeoutExpired) as error:
            return Check(name, False, str(error))

    return run


_CHECKS = [
    _python,
    _libraries,
    _optional,
    _careful("QEMU", _qemu),
    _careful("gdb", _gdb),
    _careful("KVM", _kvm),
    _menu,
    _careful("Linux guest", _linux),
    _careful("Memory", _memory),
    _careful("Running guests", _guests),
]
