"""What all commands share: help, one-line errors, exit codes, readers who go away."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done

COMMANDS = [
    *("demo", "translate", "map", "verify", "table", "decode", "fault", "guest", "doctor"),
    "completion",
]
PROGRAM = [sys.executable, "-c", "from ptlive.cli import main; main()"]


def test_help_lists_every_command(ptlive: Callable[..., Done]) -> None:
    done = ptlive("--help")
    assert (done.status, done.err) == (0, "")
    for command in COMMANDS:
        assert f"\n  {command} " in done.out
    assert ptlive("-h").out == done.out


@pytest.mark.parametrize("command", [*COMMANDS, "guest start", "guest stop", "guest list"])
def test_every_command_has_help(ptlive: Callable[..., Done], command: str) -> None:
    done = ptlive(*command.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"Usage: ptlive {command}")


def test_the_list_says_what_the_commands_themselves_say(ptlive: Callable[..., Done]) -> None:
    assert "Exit status: 0 done; 1 something was found" in ptlive("--help").out


def test_versions_of_all_three_programs(ptlive: Callable[..., Done]) -> None:
    done = ptlive("--version")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert (done.status, names) == (0, ["ptlive", "QEMU", "gdb"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["frob"], "No such command 'frob' (see ptlive --help)"),
        (["--frob"], "No such option '--frob' (see ptlive --help)"),
        (["map", "--zzz"], "No such option '--zzz' (see ptlive map --help)"),
        (["translate"], "Missing argument 'VA...' (see ptlive translate --help)"),
        (["translate", "zz"], "'zz' is no number (0x1234 or 4660)"),
        (["translate", "--", "-5"], "-5 does not fit into 64 bits"),
        (["translate", "18446744073709551616"], "does not fit into 64 bits"),
        (["translate", "0", "--length", "0"], "0 is not in the range"),
        (["translate", "0", "--length", "70000"], "70000 is not in the range"),
        (["translate", "0", "--access", "frob"], "'frob' is not one of 'supervisor-read'"),
        (["map", "5..2"], "5..2 ends before it begins (see ptlive map --help)"),
        (["map", "--root", "cr4"], "'cr4' is no root: give an address, cr3, vcpu:N or #N"),
        (["map", "--vcpu", "x"], "'x' is not a valid integer"),
        (["verify", "--oracle", "none"], "'none' is not one of '"),
        (["verify", "--probes", "0"], "0 is not in the range"),
        (["verify", "--seed", "-1"], "-1 is not in the range"),
        (["verify", "0", "0..5"], "give addresses or ranges, not both"),
        (["roots", "--min-confidence", "nan"], "it is no number"),
        (["diff"], "give two files, or a file to compare with the guest, or --root twice"),
        (["decode", "5"], "Missing option '--level' (see ptlive decode --help)"),
        (["guest", "start"], "Choose from: menu, linux, ovmf, xen, memtest, own (see ptlive"),
        (["guest", "start", "windows"], "'windows' is not one of 'menu', 'linux'"),
        (["guest", "start", "menu", "--memory", "²"], "'²' is no size: give 512M or 2G"),
        (["guest", "start", "menu", "--memory", "1T"], "is no size"),
        (["guest", "start", "menu", "--cpus", "0"], "0 is not in the range"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_misuse_is_one_sentence(
    refused: Callable[..., str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(*arguments)


def test_nothing_at_all_is_answered_by_help(ptlive: Callable[..., Done]) -> None:
    done = ptlive()
    assert done.status in (0, 2)
    assert "Usage: ptlive" in done.out + done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(ptlive: Callable[..., Done], shell: str) -> None:
    done = ptlive("completion", shell)
    assert done.status == 0
    assert "_PTLIVE_COMPLETE" in done.out


def test_completion_knows_commands_and_options() -> None:
    environment = {"_PTLIVE_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    for words, expected in (("ptlive tr", "plain,translate"), ("ptlive map --sp", "plain,--split")):
        environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        program = [sys.executable, "-c", "import sys; sys.argv[0] = 'ptlive'; " + PROGRAM[2]]
        done = subprocess.run(
            program, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        assert expected in done.stdout.splitlines()


CLOSED = [
    ["fault", "0"],
    ["--version"],
    ["--help"],
    ["map", "--help"],
    ["decode", "1", "--level=1"],
]


@pytest.mark.parametrize("arguments", CLOSED)
def test_a_reader_who_went_away_is_no_finding(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as output:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", CLOSED)
def test_a_full_disk_is_one_sentence(arguments: list[str]) -> None:
    with open("/dev/full", "w") as output:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    sentence = "ptlive: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, sentence)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_shells_status(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    stub = FakeStub(tmp_path / "s", silent=True)
    child = subprocess.Popen(
        [*PROGRAM, "map", "--gdb", stub.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    while b"guard_process" not in _children(child.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    stub.close()
    assert (child.returncode, out) == (status, b"")
    assert b"Traceback" not in err


def _children(pid: int) -> bytes:
    """Return the command lines of a process's children."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return b" ".join(Path(f"/proc/{child}/cmdline").read_bytes() for child in pids)
    except OSError:
        return b""


def test_a_defect_is_no_finding(
    ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ptlive.cli.offline.words.describe_fault", broken)
    done = ptlive("fault", "0")
    assert (done.status, done.out) == (2, "")
    assert "ZeroDivisionError" in done.err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            MemoryError(),
            "more memory than there is: ask about less",
        ),
        (OSError(errno.EMFILE, "Too many files"), "refuses what this takes: Too many files"),
    ],
    ids=["memory", "files"],
)
def test_a_limit_of_the_system_is_one_sentence(
    ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def scarce(*_: object) -> None:
        raise error

    monkeypatch.setattr("ptlive.cli.offline.words.describe_fault", scarce)
    done = ptlive("fault", "0")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(f"{sentence}\n")
    assert done.err.count("\n") == 1
