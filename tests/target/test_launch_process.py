"""Processes begun, recognised and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.target import process

if TYPE_CHECKING:
    from pathlib import Path

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def spawn_python(code: str, log: Path) -> int:
    pid = process.spawn([sys.executable, "-c", code], output=log)
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


def test_a_stubborn_process_is_killed_in_the_end(tmp_path: Path) -> None:
    pid = spawn_python(STUBBORN, tmp_path / "log")
    started = process.start_time(pid)
    assert started is not None
    assert not process.wait_end(pid, started, 0.05)
    process.end(pid, started, patience=0.3)
    assert process.start_time(pid) is None


def test_a_polite_process_is_not_killed(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit()))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    pid = spawn_python(code, tmp_path / "log")
    process.end(pid, process.start_time(pid) or 0)
    assert (tmp_path / "log").read_text() == "up\nbye\n"


def test_another_process_of_that_number_is_left_alone(tmp_path: Path) -> None:
    pid = spawn_python(STUBBORN, tmp_path / "log")
    started = process.start_time(pid)
    assert started is not None
    process.end(pid, started + 1)
    assert process.start_time(pid) == started
    assert process.wait_end(pid, started + 1, 5)
    process.end(pid, started, patience=0.1)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="cannot run no-such-program: No such file"):
        process.spawn(["no-such-program"], output=tmp_path / "log", outlive=True)


def test_the_child_has_a_session_of_its_own_and_no_input(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "print(os.getsid(0), repr(sys.stdin.read()), flush=True)\ntime.sleep(60)"
    )
    pid = spawn_python(code, tmp_path / "log")
    assert (tmp_path / "log").read_text() == f"{pid} ''\n"
    process.end(pid, process.start_time(pid) or 0)


@pytest.mark.parametrize("outlive", [False, True])
def test_only_who_is_to_outlive_a_killed_parent_does(tmp_path: Path, outlive: bool) -> None:
    parent = (
        "import pathlib, time\nfrom ptlive.target import process\n"
        f"pid = process.spawn(['sleep', '60'], output=pathlib.Path({str(tmp_path / 'log')!r}),"
        f" outlive={outlive})\n"
        "print(pid, process.start_time(pid), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as one:
        assert one.stdout
        pid, started = map(int, one.stdout.readline().split())
        time.sleep(0.1)  # setpriv becomes sleep
        one.kill()
    assert process.wait_end(pid, started, 2.0 if not outlive else 0.2) is not outlive
    process.end(pid, started)


def test_sigterm_runs_the_clean_up() -> None:
    cleaned = []
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with process.orderly_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                cleaned.append(True)

    with pytest.raises(SystemExit) as left:
        work()
    assert cleaned
    assert left.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
