"""The state of running guests on disk; ordinary processes stand in for QEMU."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.target import process, running
from ptlive.target.running import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own, empty runtime directory."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def record(pid: int, kind: str = "menu", started: float = 0.0) -> Guest:
    """Write down a guest whose QEMU is the process `pid`."""
    with running.locked() as state:
        name, folder, sockets = running.reserve(state, kind)
        guest = Guest(
            name=name,
            kind=kind,
            levels=5,
            accelerator="tcg",
            memory=1 << 28,
            cpus=1,
            pid=pid,
            process_started=process.start_time(pid) or 0,
            started=started,
            gdb="127.0.0.1:1",
            qmp=f"unix:{sockets / 'qmp.sock'}",
            serial=f"unix:{sockets / 'serial.sock'}",
            ram="/dev/null",
            folder=str(folder),
            socket_folder=str(sockets),
            symbols=None,
            command=["qemu"],
        )
        running.record(guest)
    return guest


def test_a_running_guest_is_found_as_it_was_recorded(sleeper: subprocess.Popen[bytes]) -> None:
    guest = record(sleeper.pid)
    assert guest.alive
    assert running.guests() == [guest]
    assert running.find() == guest
    assert running.find("menu") == guest


def test_names_count_up_and_a_free_one_is_used_again(sleeper: subprocess.Popen[bytes]) -> None:
    made = [record(sleeper.pid, started=when) for when in (1.0, 2.0, 3.0)]
    assert [guest.name for guest in made] == ["menu", "menu-2", "menu-3"]
    assert [guest.name for guest in running.guests()] == ["menu", "menu-2", "menu-3"]
    running._remove(made[1])
    assert record(sleeper.pid).name == "menu-2"
    assert record(sleeper.pid, kind="linux").name == "linux"


def test_several_guests_must_be_named(sleeper: subprocess.Popen[bytes]) -> None:
    record(sleeper.pid, started=1.0)
    record(sleeper.pid, started=2.0)
    with pytest.raises(PtliveError, match=r"menu, menu-2 .*--guest"):
        running.find()
    second = running.find("menu-2")
    assert second
    assert second.name == "menu-2"


def test_nothing_running_is_told() -> None:
    assert running.find() is None
    with pytest.raises(PtliveError, match="no guest 'menu' runs; none does"):
        running.find("menu")


def test_an_unknown_name_is_told_with_the_known_ones(sleeper: subprocess.Popen[bytes]) -> None:
    record(sleeper.pid)
    with pytest.raises(PtliveError, match="no guest 'x' runs; there are: menu"):
        running.find("x")


def test_what_an_ended_guest_left_is_removed(sleeper: subprocess.Popen[bytes]) -> None:
    guest = record(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert not guest.alive
    assert running.guests() == []
    assert not Path(guest.folder).exists()


def test_a_process_that_got_the_same_number_is_not_believed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    guest = record(sleeper.pid)
    other = dataclasses.replace(guest, process_started=guest.process_started - 1)
    running.record(other)
    assert running.guests() == []
    assert sleeper.poll() is None  # and it is left in peace


def test_a_forgotten_guest_does_not_take_its_successor_along(
    sleeper: subprocess.Popen[bytes],
) -> None:
    first = record(sleeper.pid, started=1.0)
    running._remove(first)
    second = record(sleeper.pid, started=2.0)
    assert second.name == first.name
    running.forget(first)
    assert running.guests() == [second]


def test_a_folder_without_a_description_is_removed(runtime: Path) -> None:
    broken = runtime / "ptlive" / "menu"
    broken.mkdir(parents=True)
    (broken / "guest.json").write_text('{"name": "menu"')
    assert running.guests() == []
    assert not broken.exists()


def test_a_long_runtime_path_keeps_its_sockets_short(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    deep = runtime / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    guest = record(sleeper.pid)
    assert Path(guest.folder).is_relative_to(deep)
    assert len(guest.serial.removeprefix("unix:")) <= 107
    assert Path(guest.socket_folder).is_dir()
    sleeper.kill()
    sleeper.wait()
    assert running.guests() == []
    assert not Path(guest.socket_folder).exists()


def test_state_lies_in_the_runtime_directory_and_is_private(runtime: Path) -> None:
    folder = running.state_folder()
    assert folder == runtime / "ptlive"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    running.state_folder()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("given", ["", "relative", "/nowhere/at/all"])
def test_without_a_runtime_directory_tmp_is_used(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", given)
    assert running.state_folder() == Path(f"/tmp/ptlive-{os.geteuid()}")


def test_another_users_runtime_directory_is_passed_over(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(running, "private_folder", lambda path: path)
    assert running.state_folder() == Path("/tmp/ptlive-54321")
    assert not (runtime / "ptlive").exists()


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(PtliveError, match="belongs to another user"):
        running.private_folder(tmp_path / "theirs")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.touch()
    with pytest.raises(PtliveError, match=str(path)):
        running.private_folder(path)


def test_two_processes_do_not_change_the_state_at_once() -> None:
    code = (
        "from ptlive.target import running; import time\n"
        "with running.locked(): print('mine', flush=True); time.sleep(0.5)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"mine\n"
        began = time.monotonic()
        assert running.guests() == []
        assert time.monotonic() - began > 0.2
