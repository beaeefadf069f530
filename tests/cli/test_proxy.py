"""`ptlive proxy` between a real gdb, ptlive, and QEMU."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.guests import menu
from ptlive.guests.said.menu import read_menu
from ptlive.target.by_qmp import attach_by_qmp
from ptlive.wire.qmp import Qmp
from tests.qemu_process import still_guest
from tests.verify.own_qemu import own_qemu
from tests.wire.proxied import a_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Done
    from tests.verify.own_qemu import OwnQemu
    from tests.wire.proxied import RunningProxy

pytestmark = pytest.mark.qemu

_COMMAND = [sys.executable, "-c", "from ptlive.cli.main import main; main()"]


class Gdb:
    """Somebody's gdb: commands in, all that it prints until it has done them out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._number = 0

    def do(self, *commands: str) -> str:
        self.begin(*commands)
        return self.end()

    def begin(self, *commands: str) -> None:
        self._number += 1
        assert self.process.stdin is not None
        self.process.stdin.write("\n".join((*commands, f"echo \\ndone-{self._number}\\n")) + "\n")
        self.process.stdin.flush()

    def end(self) -> str:
        said = ""
        assert self.process.stdout is not None
        while f"\ndone-{self._number}\n" not in said:
            line = self.process.stdout.readline()
            assert line, f"gdb has ended: {said}"
            said += line
        return said.partition(f"\ndone-{self._number}\n")[0]

    def registers(self) -> str:
        return self.do("maint flush register-cache", "info registers")


@contextmanager
def a_gdb(address: str) -> Iterator[Gdb]:
    pipe = subprocess.PIPE
    command = ["gdb", "-q", "-nx", "-ex", "set confirm off", "-ex", "set pagination off"]
    command += ["-ex", "set prompt"]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        gdb = Gdb(process)
        said = gdb.do(f"target remote {address.removeprefix('unix:')}")
        assert "Remote debugging using" in said, said
        yield gdb
        process.kill()


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[OwnQemu]:
    """The menu guest, which loops, with its RAM in no shared file."""
    with own_qemu(tmp_path, "-cpu", "max", "-machine", "pc", "-m", "128M", qmp=True) as started:
        yield started


@pytest.fixture
def proxy(qemu: OwnQemu, tmp_path: Path) -> Iterator[RunningProxy]:
    with a_proxy(qemu.gdb, tmp_path) as started:
        yield started


def running(qemu: OwnQemu) -> bool:
    with Qmp(qemu.qmp) as qmp:
        return qmp.running()


def state(qemu: OwnQemu) -> str:
    with Qmp(qemu.qmp) as qmp:
        return qmp.human("info registers -a")


def until_running(qemu: OwnQemu) -> None:
    deadline = time.monotonic() + 10
    while not running(qemu):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_at_a_breakpoint_ptlive_answers_beside_gdb(
    ptlive: Callable[..., Done], qemu: OwnQemu, proxy: RunningProxy
) -> None:
    with a_gdb(proxy.debugger) as gdb:
        at = re.search(r"rip +(0x[0-9a-f]+)", gdb.registers())
        assert at is not None
        assert "Breakpoint 1, " in gdb.do(f"hbreak *{at[1]}", "continue")
        before = gdb.registers()
        with Qmp(qemu.qmp) as qmp, attach_by_qmp(qmp) as target:
            lines = read_menu(menu.ELF, target.memory).lines
        wanted = {line.va: line for line in lines if line.level == 1 and line.entry & 1}
        place = ("--gdb", proxy.ptlive)
        for source in ("auto", "stub", "proc", "gdb"):
            value = json.loads(
                ptlive("translate", *map(hex, wanted), *place, "--json", "--memory", source).out
            )
            assert value["memory"] == {"auto": "proc"}.get(source, source)
            found = {
                int(one["va"], 16): int(one["path"][-1]["entry"], 16)
                for one in value["roots"][0]["result"]["translations"]
            }
            assert found == {va: line.entry for va, line in wanted.items()}
        assert ptlive("map", *place, "--memory", "stub").status == 0
        for oracle, who in (("twin", "TCG"), ("stepped", "TCG"), ("debug-walker", "debug walker")):
            done = ptlive("verify", *place, "--oracle", oracle, "--json")
            assert done.status == 0, done.err
            checks = json.loads(done.out)["roots"][0]["result"]["checks"]
            assert checks
            assert who in {check["answered_by"] for check in checks}
            assert sum(check["agreed"] for check in checks) > 400
            assert gdb.registers() == before
        assert "Breakpoint 1, " in gdb.do("continue")
        assert gdb.registers() == before
        assert "breakpoint already hit 2 times" in gdb.do("info breakpoints")
        gdb.do("delete", "detach")
        assert running(qemu)
    assert proxy.said() == ""


def test_while_the_guest_runs_ptlive_is_told_so(
    refused: Callable[..., str], qemu: OwnQemu, proxy: RunningProxy
) -> None:
    with a_gdb(proxy.debugger) as gdb:
        gdb.begin("continue")
        until_running(qemu)
        assert "the guest runs under the debugger" in refused("map", "--gdb", proxy.ptlive)
        assert running(qemu)
        gdb.process.send_signal(signal.SIGINT)
        assert "Program received signal SIGINT" in gdb.end()
        assert "rip" in gdb.registers()


def test_ptlive_does_not_let_the_guest_run(
    refused: Callable[..., str], proxy: RunningProxy, qemu: OwnQemu
) -> None:
    with a_gdb(proxy.debugger) as gdb:
        before = gdb.registers()
        assert "another client" in refused("map", "--gdb", qemu.gdb)
        assert gdb.registers() == before


@contextmanager
def a_long_verification(qemu: OwnQemu, proxy: RunningProxy) -> Iterator[subprocess.Popen[str]]:
    """`verify` in the midst of its steps: what it has changed can be seen."""
    before = state(qemu)
    command = [*_COMMAND, "verify", "--gdb", proxy.ptlive, "--oracle", "stepped"]
    with subprocess.Popen(
        [*command, "--probes", "100000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 20
        while state(qemu) == before:
            assert process.poll() is None
            assert time.monotonic() < deadline
        yield process
        process.kill()


def test_the_debugger_cuts_a_long_verification_off(qemu: OwnQemu, proxy: RunningProxy) -> None:
    with a_gdb(proxy.debugger) as gdb:
        before = gdb.registers()
        with a_long_verification(qemu, proxy) as verification:
            # On a busy machine the guard is slow, and gdb is told to try again.
            while "try again" in (said := gdb.registers()):
                continue
            assert said == before
            assert verification.wait(10) == 2
            assert verification.stderr is not None
            told = verification.stderr.read()
            assert "the proxy closed the connection: its debugger goes on" in told
            assert told.count("\n") == 1
        assert "cut off" in proxy.said()
        gdb.do("detach")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_ptlive_that_is_killed_leaves_the_guest_to_gdb_as_it_was(
    ptlive: Callable[..., Done], qemu: OwnQemu, proxy: RunningProxy, number: int
) -> None:
    with a_gdb(proxy.debugger) as gdb:
        before, rip = gdb.registers(), gdb.do("x/8xb $rip")
        with a_long_verification(qemu, proxy) as verification:
            verification.send_signal(number)
            verification.wait(10)
        assert gdb.registers() == before
        assert gdb.do("x/8xb $rip").splitlines()[0] == rip.splitlines()[0]
        assert ptlive("verify", "--gdb", proxy.ptlive, "--oracle", "twin").status == 0
        assert "0x" in gdb.do("stepi", "x/i $pc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_proxy_is_killed_while_ptlive_steps(
    qemu: OwnQemu, proxy: RunningProxy, number: int
) -> None:
    with a_gdb(proxy.debugger) as gdb:
        before = state(qemu)
        with a_long_verification(qemu, proxy) as verification:
            os.kill(proxy.process.pid, number)
            assert verification.wait(20) == 2
        assert state(qemu) == before
        gdb.process.kill()
    # Nobody holds the stub any more, and its mode is as it was.
    done = subprocess.run(
        [*_COMMAND, "verify", "--gdb", qemu.gdb, "--oracle", "debug-walker"], check=False
    )
    assert done.returncode == 0
    proxy.process.wait()


@pytest.mark.parametrize("stopped", [True, False])
def test_alone_ptlive_leaves_the_guest_as_it_was(tmp_path: Path, stopped: bool) -> None:
    with (
        still_guest(tmp_path, stopped=stopped, vcpus=2) as qemu,
        a_proxy(qemu.gdb, tmp_path) as proxy,
    ):
        before: Any = qemu.state()
        for _ in range(2):
            done = subprocess.run(
                [*_COMMAND, "map", "--gdb", proxy.ptlive],
                check=False,
                capture_output=True,
                text=True,
            )
            assert (done.returncode, "paging is off" in done.stderr) == (2, True), done.stderr
            assert qemu.state() == before
