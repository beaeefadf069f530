"""Real guests started, awaited and ended. The menu guest is up within half a second."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from ptlive.errors import PtliveError
from ptlive.guests import menu, recipe
from ptlive.guests.ready import Says
from ptlive.target import launch, process, running
from ptlive.target.machine import Machine
from ptlive.target.ready import wait_ready
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.qemu

MENU = recipe("menu")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test its own runtime directory, and see that it leaves no guest."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    left = running.guests()
    for guest in left:
        launch.stop(guest)
    assert left == []


def kept(runtime: Path) -> list[str]:
    return sorted(str(path.relative_to(runtime)) for path in runtime.rglob("*"))


def test_a_guest_comes_up_and_leaves_nothing_behind(runtime: Path) -> None:
    with launch.temporary(MENU) as guest:
        assert guest.alive
        assert running.guests() == [guest]
        assert guest.gdb.startswith("unix:")
        assert Path(guest.gdb.removeprefix("unix:")).is_socket()
        assert "menu: levels=5" in guest.serial_log.read_text()
    assert process.start_time(guest.pid) is None
    assert kept(runtime) == ["ptlive", "ptlive/lock"]


def test_the_ram_file_is_what_the_guest_sees() -> None:
    with open(menu.ELF, "rb") as file:
        code = next(part for part in ELFFile(file).iter_segments("PT_LOAD"))
        address, loaded = int(code["p_paddr"]), code.data()[:32]
    with launch.temporary(MENU) as guest, Qmp(guest.qmp) as qmp:
        assert Path(guest.ram).stat().st_size == guest.memory == 256 << 20
        said = qmp.human(f"xp /4gx {address:#x}")
        words = [int(word, 16) for word in re.findall(r" 0x([0-9a-f]{16})", said)]
        with open(guest.ram, "rb") as ram:
            ram.seek(address)
            assert ram.read(32) == loaded
        assert b"".join(word.to_bytes(8, "little") for word in words) == loaded


def test_a_free_port_is_found_and_told() -> None:
    with (
        launch.temporary(MENU, Machine(gdb="free")) as one,
        launch.temporary(MENU, Machine(gdb="127.0.0.1:0")) as two,
    ):
        assert (one.name, two.name) == ("menu", "menu-2")
        assert one.gdb != two.gdb
        assert running.find("menu-2") == two
        for guest in (one, two):
            host, _, port = guest.gdb.rpartition(":")
            assert host == "127.0.0.1"
            socket.create_connection((host, int(port)), timeout=5).close()


def test_a_port_in_use_is_told_in_qemus_words(runtime: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PtliveError, match=r"QEMU did not start.*Address already in use"):
            launch.start(MENU, Machine(gdb=address))
    assert kept(runtime) == ["ptlive", "ptlive/lock"]


def test_a_bad_argument_is_told_in_qemus_words() -> None:
    with pytest.raises(PtliveError, match=r"QEMU did not start.* -nonsense: invalid option"):
        launch.start(MENU, Machine(extra=["-nonsense"]))


def test_a_missing_qemu_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PtliveError, match="qemu-system-x86_64 is missing: install"):
        launch.start(MENU)


def test_a_guest_that_is_not_up_in_time_is_told_with_its_last_words() -> None:
    never = dataclasses.replace(MENU, ready=Says("never"), patience=1.0)
    expected = r"menu was not up after 1 s.*menu: levels=5"
    with pytest.raises(PtliveError, match=expected), launch.temporary(never):
        pytest.fail("it is not up")


def test_a_guest_that_ends_while_booting_is_told() -> None:
    guest = launch.start(MENU, Machine(extra=["-S"]))
    process.end(guest.pid, guest.process_started)
    with pytest.raises(PtliveError, match="menu ended while booting"):
        wait_ready(guest, MENU)
    launch.stop(guest)


def test_other_levels_than_asked_for_are_told() -> None:
    four = Machine(levels=5, extra=["-cpu", "max,-la57"])
    expected = "runs with 4 levels of paging, not 5"
    with pytest.raises(PtliveError, match=expected), launch.temporary(MENU, four):
        pytest.fail("it is no machine with 5 levels")


def test_a_long_runtime_path_is_no_obstacle(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = runtime / ("deep" * 25)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with launch.temporary(MENU) as guest, Qmp(guest.qmp) as qmp:
        assert qmp.command("query-status")
    assert not Path(guest.socket_folder).exists()


def test_stop_ends_a_guest_whose_qmp_somebody_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "QUIT_SECONDS", 0.3)
    guest = launch.start(MENU)
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(guest.qmp.removeprefix("unix:"))
        launch.stop(guest)
    assert not guest.alive


def test_stop_is_harmless_when_the_guest_has_ended() -> None:
    guest = launch.start(MENU)
    launch.stop(guest)
    launch.stop(guest)


def run_parent(code: str) -> subprocess.Popen[bytes]:
    """Run Python that starts a guest and prints `pid start-time`, then more code."""
    head = (
        "import os, time\n"
        "from ptlive.guests import recipe\nfrom ptlive.target import launch\n"
        "def tell(guest): print(guest.pid, guest.process_started, flush=True)\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code], stdout=subprocess.PIPE)


HOLD = "with launch.temporary(recipe('menu')) as guest:\n    tell(guest)\n    time.sleep(60)\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_ends_its_guest_and_tidies_up(
    runtime: Path, number: signal.Signals
) -> None:
    with run_parent(HOLD) as parent:
        assert parent.stdout
        pid, started = map(int, parent.stdout.readline().split())
        parent.send_signal(number)
        assert parent.wait(20) != 0
    assert process.start_time(pid) != started
    assert kept(runtime) == ["ptlive", "ptlive/lock"]


def test_a_killed_command_takes_its_guest_along(runtime: Path) -> None:
    with run_parent(HOLD) as parent:
        assert parent.stdout
        pid, started = map(int, parent.stdout.readline().split())
        parent.kill()
    assert process.wait_end(pid, started, 5)
    assert running.guests() == []  # and this removes what it could not
    assert kept(runtime) == ["ptlive", "ptlive/lock"]


def test_a_guest_that_is_to_outlive_its_command_does() -> None:
    with run_parent("tell(launch.start(recipe('menu'), outlive=True))") as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline().split()[0])
        assert parent.wait(20) == 0
    guest = running.find()
    assert guest
    assert guest.pid == pid
    assert os.getsid(pid) == pid
    wait_ready(guest, MENU)
    launch.stop(guest)
    assert process.start_time(pid) != guest.process_started
