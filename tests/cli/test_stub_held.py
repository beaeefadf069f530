"""While somebody's gdb holds the stub: every reading command, by QMP alone."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import menu
from ptlive.guests.said.menu import read_menu
from ptlive.target.by_qmp import attach_by_qmp
from ptlive.wire.qmp import Qmp
from tests.verify.own_qemu import own_qemu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Done
    from tests.verify.own_qemu import OwnQemu

pytestmark = pytest.mark.qemu

SOURCES = ("auto", "shared", "proc", "qmp")


@contextmanager
def a_gdb(address: str) -> Iterator[None]:
    """Somebody's session: attached, with a breakpoint, at its prompt."""
    command = ["gdb", "-q", "-nx", "-batch-silent", "-ex", "set confirm off"]
    command += ["-ex", f"target remote {address.removeprefix('unix:')}", "-ex", "hbreak *0x123456"]
    command += ["-ex", "shell echo attached", "-ex", "python input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as gdb:
        assert gdb.stdout is not None
        assert gdb.stdin is not None
        assert gdb.stdout.readline() == "attached\n"
        yield
        assert gdb.poll() is None, "our work ended their session"
        gdb.kill()


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnQemu]:
    folder: Path = tmp_path_factory.mktemp("held")
    ram = ["-object", "memory-backend-memfd,id=ram,size=128M", "-m", "128M"]
    machine = ["-machine", "q35,memory-backend=ram", "-cpu", "max"]
    with own_qemu(folder, *ram, *machine, qmp=True) as qemu, a_gdb(qemu.gdb):
        yield qemu


def test_the_stub_is_held(refused: Callable[..., str], held: OwnQemu) -> None:
    assert "another client holds the stub" in refused("map", "--gdb", held.gdb)


@pytest.mark.parametrize("source", SOURCES)
def test_map_and_translate_are_what_the_guest_says_of_itself(
    ptlive: Callable[..., Done], held: OwnQemu, source: str
) -> None:
    with Qmp(held.qmp) as qmp, attach_by_qmp(qmp) as target:
        lines = read_menu(menu.ELF, target.memory).lines
    wanted = {line.va: line for line in lines if line.level == 1 and line.entry & 1}
    options = ("--gdb", "none", "--qmp", held.qmp, "--memory", source, "--json")
    value = json.loads(ptlive("translate", *map(hex, wanted), *options).out)
    assert value["memory"] == {"auto": "shared"}.get(source, source)
    found = {
        int(one["va"], 16): int(one["path"][-1]["entry"], 16)
        for one in value["roots"][0]["result"]["translations"]
    }
    assert len(wanted) > 40
    assert found == {va: line.entry for va, line in wanted.items()}
    mapped = json.loads(ptlive("map", *options).out)["roots"][0]["result"]
    assert (mapped["leaves"], mapped["tables"]) > (500, 100)


@pytest.mark.parametrize("oracle", ["twin", "debug-walker", "info-tlb"])
def test_oracles_that_only_read_agree(
    ptlive: Callable[..., Done], held: OwnQemu, oracle: str
) -> None:
    options = ("--gdb", "none", "--qmp", held.qmp, "--oracle", oracle, "--random", "16")
    done = ptlive("verify", *options, "--probes", "100", "--json")
    assert done.status == 0, done.err
    (root,) = json.loads(done.out)["roots"]
    checked = {check["property"]: check["checked"] for check in root["result"]["checks"]}
    assert checked["frame"] > 50
    assert root["result"]["disagreements"] == []


@pytest.mark.long
def test_the_guests_tables_are_changed_in_a_copy(
    ptlive: Callable[..., Done], held: OwnQemu
) -> None:
    done = ptlive("selftest", "--gdb", "none", "--qmp", held.qmp)
    assert done.status == 0, done.err


def test_what_writes_is_refused(refused: Callable[..., str], held: OwnQemu) -> None:
    said = refused("verify", "--oracle", "stepped", "--gdb", "none", "--qmp", held.qmp)
    assert said.endswith("needs the gdb stub, which --gdb none and --live leave alone")


def test_a_table_through_a_source_that_is_named(ptlive: Callable[..., Done], held: OwnQemu) -> None:
    done = ptlive("table", "0", "--gdb", "none", "--qmp", held.qmp, "--memory", "proc", "-v")
    assert done.status == 0
    assert "memory by proc" in done.err
