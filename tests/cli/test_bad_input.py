"""Bad input: one clear sentence on stderr and exit status 2, each by a real command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.guests import recipe
from ptlive.target import launch
from ptlive.target.machine import Machine
from ptlive.wire.gdb_stub import GdbStub
from ptlive.wire.preflight import preflight
from tests.paging.tables import PWU
from tests.qemu_process import Qemu, still_guest
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ptlive.target.running import Guest

PROGRAM = [sys.executable, "-c", "from ptlive.cli import main; main()"]
COMMANDS = [
    ["map"],
    ["translate", "0x1000"],
    ["verify", "--oracle", "debug-walker"],
    ["table", "0x1000"],
]
PE, PG, PAE, LA57, PKS = 1, 1 << 31, 1 << 5, 1 << 12, 1 << 24
LME, LMA = 1 << 8, 1 << 10
ROOT = 0x20_0000


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*arguments: str, **environment: str) -> str:
    """Run a command that must fail with one sentence and nothing else; return the sentence."""
    return sentence(run(*arguments, **environment))


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    line = done.stderr.removesuffix("\n")
    assert line.isprintable()
    assert line.startswith("ptlive: ")
    return line.removeprefix("ptlive: ")


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve connections on a loopback port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    try:
                        serve(client)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_listens(command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    said = refused(*command, "--gdb", f"127.0.0.1:{free}")
    assert said == f"nothing listens on 127.0.0.1:{free} (Connection refused)"
    said = refused(*command, "--gdb", f"unix:{tmp_path}/none")
    assert said.startswith(f"nothing listens on unix:{tmp_path}/none")


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", os.urandom(4096), b"$#"],
    ids=["ssh", "http", "random", "half a packet"],
)
def test_something_listens_that_is_no_gdb_stub(greeting: bytes) -> None:
    def serve(client: socket.socket) -> None:
        client.sendall(greeting)
        client.recv(4096)

    with server(serve) as address:
        said = refused("map", "--gdb", address)
    assert "is no gdb stub" in said


def test_something_listens_and_says_nothing() -> None:
    def serve(client: socket.socket) -> None:
        while client.recv(4096):
            pass

    with server(serve) as address:
        said = refused("map", "--gdb", address)
    assert said.startswith(f"{address} answers nothing: ")
    assert "it is no gdb stub" in said


def test_something_listens_and_hangs_up() -> None:
    with server(lambda client: None) as address:
        assert "is no gdb stub" in refused("map", "--gdb", address)


@pytest.mark.parametrize("mode", ["", "E01", "2"])
def test_a_stub_without_phymemmode(tmp_path: Path, mode: str) -> None:
    with closing(FakeStub(tmp_path / "s", phy_mem_mode=mode)) as stub:
        said = refused("map", "--gdb", stub.address)
    assert said.startswith(f"{stub.address} is a stub without PhyMemMode")


@pytest.mark.qemu
def test_gdb_is_missing(tmp_path: Path) -> None:
    with still_guest(tmp_path) as qemu:
        before = qemu.state()
        said = refused("map", "--gdb", qemu.gdb, "--memory", "gdb", PATH="/nonexistent")
        assert said == "gdb is not installed (Debian: apt install gdb)"
        assert qemu.state() == before


@pytest.mark.qemu
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_paging_is_off(tmp_path: Path, stopped: bool) -> None:
    with still_guest(tmp_path, stopped=stopped) as qemu:
        before = qemu.state()
        for command in COMMANDS:
            said = refused(*command, "--gdb", qemu.gdb)
            assert said.startswith("paging is off (CR0=0x60000010): linear addresses are physical")
        assert qemu.state() == before


@pytest.mark.qemu
def test_a_second_client_on_the_stub(tmp_path: Path) -> None:
    with still_guest(tmp_path, tcp=True) as qemu:
        host, _, port = qemu.gdb.rpartition(":")
        with socket.create_connection((host, int(port))):
            said = refused("map", "--gdb", qemu.gdb)
        assert said == f"another client holds the stub at {qemu.gdb}"


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    """A stopped guest with tables of five levels: a page at 0x1000, and one outside RAM."""
    with still_guest(tmp_path_factory.mktemp("five"), stopped=True) as qemu:
        entries = {ROOT: 0x20_1000, 0x20_1000: 0x20_2000, 0x20_2000: 0x20_3000}
        entries |= {0x20_3000: 0x20_4000, 0x20_4008: 0x30_0000, 0x20_4010: 0x7777_7000}
        ram = np.memmap(qemu.ram, "<u8", mode="r+")
        for table in range(ROOT, 0x20_5000, 4096):
            ram[table // 8 : table // 8 + 512] = 0
        for at, target in entries.items():
            ram[at // 8] = target | PWU
        ram.flush()
        pose(qemu, cr3=ROOT, efer=LME | LMA, cr4=PAE | LA57, cr0=PE | PG)
        yield qemu


def pose(qemu: Qemu, **registers: int) -> None:
    """Write registers of the stopped guest."""
    stub = GdbStub()
    found = preflight(qemu.gdb)
    stub.connect(found.gdb_target, found.phy_mem_mode)
    stub.write_registers(1, registers)
    stub.close(resume=False)


@pytest.mark.qemu
def test_control_bits_that_are_not_modelled(five: Qemu) -> None:
    pose(five, cr4=PAE | LA57 | PKS)
    for command in (["map"], ["translate", "0x1000"], ["verify", "--oracle", "debug-walker"]):
        done = run(*command, "--gdb", five.gdb)
        assert done.returncode == 0, done.stderr
        (note,) = done.stderr.splitlines()
        assert note.startswith("ptlive: note: PKS: protection keys of supervisor pages are not")
    pose(five, cr4=PAE | LA57)
    done = run("translate", "0x1000", "--gdb", five.gdb)
    assert done.stdout.startswith("0x0000000000001000 -> 0x300000 (4K page, RAM)\n")
    assert done.stderr == ""


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("map --root 0x7777777000", "the root table 0x7777777000 lies in no RAM and no ROM"),
        ("translate 0 --root 0x7777777000", "the root table 0x7777777000 lies in no RAM"),
        ("translate 0 --root 0x7777777777777000", "0x7777777777777000 is not the address of a"),
        ("map 0x100000000000000", "no address in these ranges is canonical in x86-64-5level"),
        (
            "verify --oracle stepped 0x100000000000000..0x100000000000fff",
            "no address in these ranges is canonical in x86-64-5level",
        ),
        ("map --vcpu 2", "the guest has no vCPU 2; it has 1"),
        ("map --vcpu 0", "the guest has no vCPU 0; it has 1"),
        ("map --root vcpu:7", "the guest has no vCPU 7; it has 1"),
        (
            "map --format arm64",
            "there is no format 'arm64'; there are x86-64-4level, x86-64-5level,",
        ),
        ("table 0x200001", "0x200001 is not aligned to a table of 4096 bytes"),
        ("table 0x200000 --level 6", "x86-64-5level has the levels 1 to 5, not 6"),
        ("table 0x200000 --level 0", "x86-64-5level has the levels 1 to 5, not 0"),
        ("table 0x7777777000", "the table 0x7777777000 lies in no RAM and no ROM of the guest"),
        ("table 0xb8000000", "lies in no RAM and no ROM of the guest"),
        (
            "verify --oracle stepped --root 0x201000",
            "oracles answer for the root that vCPU 1 uses, 0x200000",
        ),
        (
            "verify --oracle stepped --format x86-64-4level",
            "oracles answer for 5-level paging, which the vCPU",
        ),
        ("verify --oracle stepped", "TR only while the vCPU executes 64-bit code"),
    ],
)
def test_what_the_guest_does_not_have(five: Qemu, command: str, said: str) -> None:
    before = five.state()
    assert said in refused(*command.split(), "--gdb", five.gdb)
    assert five.state() == before


@pytest.mark.qemu
def test_a_non_canonical_address_is_said_after_what_can_be_told(five: Qemu) -> None:
    done = run("translate", "0x1000", "0x100000000000000", "--gdb", five.gdb)
    assert done.returncode == 2
    assert done.stderr == "ptlive: 0x100000000000000 is not canonical in x86-64-5level\n"
    assert "0x0000000000001000 -> 0x300000" in done.stdout


@pytest.mark.parametrize("command", [["map"], ["guest", "stop"]])
def test_an_unknown_guest(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = ["--guest", "nobody"] if command == ["map"] else ["nobody"]
    assert refused(*command, *name) == "no guest 'nobody' runs; none does"


@pytest.fixture
def mortal() -> Iterator[Guest]:
    """A menu guest that a test may kill."""
    with launch.temporary(recipe("menu"), Machine(levels=5)) as guest:
        yield guest


@pytest.mark.qemu
@pytest.mark.parametrize("after", [0.3, 1.5])
def test_qemu_is_killed_meanwhile(mortal: Guest, after: float) -> None:
    command = [*PROGRAM, "verify", "--oracle", "stepped", "--gdb", mortal.gdb]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    os.kill(mortal.pid, signal.SIGKILL)
    out, err = child.communicate(timeout=60)
    said = sentence(subprocess.CompletedProcess(command, child.returncode, out, err))
    assert "the guest is gone" in said or "is no gdb stub" in said or "nothing listens" in said
