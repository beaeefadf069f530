"""What the benchmark runs on: without it no figure means anything."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from ptlive.errors import PtliveError
from ptlive.target.machine import QEMU


def describe() -> dict[str, str]:
    """Return names and values, in the order in which to print them."""
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ptlive": f"{metadata.version('ptlive')} {_commit()}".strip(),
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "QEMU": _version([QEMU, "--version"]),
        "gdb": _version(["gdb", "--version"]),
        "gcc": _version(["gcc", "--version"]),
        "Python": platform.python_version(),
    }
    for package in ("numpy", "numba"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def check_programs() -> None:
    """See that what is measured is there. Raises PtliveError."""
    for program, package in ((QEMU, "qemu-system-x86"), ("gcc", "gcc"), ("gdb", "gdb")):
        if not shutil.which(program):
            raise PtliveError(f"{program} is missing: install the package {package}")


def _cpu() -> str:
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()


def _version(command: list[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return "missing"
    # "gcc (Debian 12.2.0-14+deb12u1) 12.2.0": what is in parentheses is the package's.
    found = re.search(r"\d+\.\d[\d.]*", re.sub(r"\(.*?\)", "", said.partition("\n")[0]))
    return found[0] if found else "unknown"


def _commit() -> str:
    """Return the checkout's commit, with a `+` where files were changed; "" without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "")
    except OSError:
        return ""
