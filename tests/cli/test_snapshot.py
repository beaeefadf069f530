"""`ptlive snapshot`, and every command that reads with --from: as of the live guest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from ptlive.guests import linux
from ptlive.memory.snapshot.read import open_snapshot
from ptlive.memory.snapshot.write import create
from ptlive.target import launch
from ptlive.target.machine import Machine
from ptlive.wire.qmp import Qmp
from tests.cli.conftest import VA
from tests.memory.cores import Load, core, cpu_note
from tests.paging.plain_ram import FRAME
from tests.simulated_guest import DATA, NOTHING_AT, ROM_AT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

COMMANDS = (
    ["map"],
    ["map", "0x7f0000000000..0x7fffffffffff", "--split", "pa"],
    ["translate", hex(VA), hex(VA + FRAME), "0x1234", "0xffffffff80001000"],
    ["table", "cr3"],
)


def answer(ptlive: Callable[..., Done], *arguments: str) -> dict[str, Any]:
    done = ptlive(*arguments, "--json")
    assert done.status == 0, done
    value: dict[str, Any] = json.loads(done.out)
    return value


def commands(value: dict[str, Any]) -> list[list[str]]:
    """The commands, with the root's address in place of cr3 where a table is meant."""
    root = value["roots"][0]["root"]
    return [[root if word == "cr3" else word for word in one] for one in COMMANDS]


@pytest.mark.parametrize("full", [False, True])
def test_a_snapshot_answers_as_the_guest(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path, full: bool
) -> None:
    file = str(tmp_path / "one")
    options = ["--full"] * full
    made = answer(ptlive, "snapshot", file, *options)
    assert made["schema"] == "ptlive.snapshot/1"
    assert made["bytes"] == (tmp_path / "one").stat().st_size
    assert made["full"] == full
    assert made["frames"] == (64 if full else made["tables"])
    for command in commands(made):
        live, saved = answer(ptlive, *command), answer(ptlive, *command, "--from", file)
        assert saved["roots"] == live["roots"]
        assert (saved["guest"], saved["memory"]) == (file, "snapshot")
        # Of the table in no memory nothing is said: that is not the file's fault.
        assert saved["notes"] == live["notes"]
    regions = open_snapshot(tmp_path / "one").about["regions"]
    assert [one["kind"] for one in regions] == ["RAM", "ROM", "DEVICE"]


def test_a_core_answers_as_the_guest(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    """With what it does not hold told by --assume."""
    registers = guest.registers_now
    ram = guest.ram.data.tobytes()
    (tmp_path / "core").write_bytes(core([Load(0, ram)], cpu_note(registers)))
    told = [f"efer={guest.control['efer']:#x}", f"maxphyaddr={guest.machine.maxphyaddr}"]
    told += [f"gbpages={'yes' if guest.machine.gbpages else 'no'}"]
    told += [f"rom={ROM_AT:#x}..{ROM_AT + FRAME - 1:#x}", "device=0x200000..0x200fff"]
    options = ["--from", str(tmp_path / "core"), "--assume", ",".join(told)]
    for command in commands(answer(ptlive, "map")):
        live, saved = answer(ptlive, *command), answer(ptlive, *command, *options)
        assert saved["roots"] == live["roots"]
        assert {note["code"] for note in saved["notes"]} == {"no-ram-map", "assumed"}
    bare = answer(ptlive, "map", "--from", str(tmp_path / "core"))
    codes = {note["code"] for note in bare["notes"]}
    assert codes == {"no-ram-map", "assumed", "maxphyaddr", "page1gb"}


def test_frames_that_are_not_in_the_file_are_told_apart(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    """A table that was in RAM, and one that is in no memory at all."""
    file = str(tmp_path / "one")
    assert ptlive("snapshot", file).status == 0
    whole = ptlive("map", "--from", file)
    assert "not in the file" not in whole.err
    assert f"{NOTHING_AT:#x} lies in no RAM" in whole.out
    said = ptlive("map", "--from", file, "--root", hex(DATA * FRAME)).err
    assert "the root table 0x16000 is not in the file, which has the tables of other roots" in said
    said = ptlive("map", "--from", file, "--root", hex(NOTHING_AT)).err
    assert "lies in no RAM and no ROM of the guest" in said
    # The same file without the table of the last level on VA's path.
    path = answer(ptlive, "translate", hex(VA))["roots"][0]["result"]["translations"][0]["path"]
    lost = int(path[-1]["table"], 16)
    opened = open_snapshot(tmp_path / "one")
    frames = np.arange(0, 64 * FRAME, FRAME, dtype=np.uint64)
    data, valid = opened.memory.read(frames, FRAME)
    valid &= frames != np.uint64(lost)
    with create(tmp_path / "less") as writer:
        writer.add(frames[valid], data[valid])
        writer.finish(opened.about)
    done = ptlive("map", "--from", str(tmp_path / "less"))
    assert done.err.startswith(
        "ptlive: note: 1 frame of memory that the guest has, and that was asked for, is not in the "
        "file: a table there counts as unreadable"
    )
    value = answer(ptlive, "map", "--from", str(tmp_path / "less"))
    assert [note["code"] for note in value["notes"]] == ["not-in-file"]


def test_registers_that_are_overridden(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    file = str(tmp_path / "one")
    assert ptlive("snapshot", file, "--pkru", "0x4").status == 0
    assert open_snapshot(tmp_path / "one").about["cpus"][0]["pkru"] in (None, "0x4")
    done = ptlive("map", "--from", file, "--assume", "efer=0x500")
    assert done.status == 0
    assert "ptlive: note: EFER is assumed to be 0x500: the file has 0xd00" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["map", "--from", "{file}", "--guest", "x"], "--from reads a file, and --guest is for"),
        (["map", "--from", "{file}", "--gdb", "x:1"], "and --gdb is for a live guest: give one"),
        (["map", "--from", "{file}", "--gdb", "none"], "and --gdb is for a live guest"),
        (["map", "--from", "{file}", "--qmp", "x:1"], "and --qmp is for a live guest"),
        (["map", "--from", "{file}", "--live"], "and --live is for a live guest"),
        (["map", "--from", "{file}", "--memory", "stub"], "and --memory is for a live guest"),
        (["map", "--assume", "efer=1"], "--assume tells what a file does not hold: name the file"),
        (["map", "--from", "{file}", "--assume", "x=1"], "--assume knows no 'x'"),
        (["map", "--from", "{file}", "--vcpu", "7"], "the guest has no vCPU 7; it has 1"),
        (["map", "--from", "{file}.no"], "No such file"),
        (["snapshot", "{file}"], "is there already: --force replaces it"),
        (["snapshot", "{file}.no/x"], "cannot write "),
        (
            ["verify", "--from", "{file}"],
            "a twin needs all of the guest's RAM, which ptlive snapshot",
        ),
        (
            ["verify", "--from", "{file}", "--oracle", "stepped"],
            "--oracle stepped asks a live guest",
        ),
        (["verify", "--from", "{file}", "--oracle", "info-tlb"], "of a file a twin is asked"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    ptlive: Callable[..., Done],
    refused: Callable[..., str],
    guest: Guest,
    tmp_path: Path,
    arguments: list[str],
    words: str,
) -> None:
    file = str(tmp_path / "one")
    assert ptlive("snapshot", file).status == 0
    assert words in refused(*(one.format(file=file) for one in arguments))
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


def test_a_guest_that_cannot_be_read_leaves_no_file(
    refused: Callable[..., str], guest: Guest, tmp_path: Path
) -> None:
    guest.registers_now["cr0"] = 1
    assert "paging is off" in refused("snapshot", str(tmp_path / "one"))
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_of_a_file(ptlive: Callable[..., Done], guest: Guest, tmp_path: Path) -> None:
    """What was assumed of the first is a fact of the second, and its note says that it was."""
    core_file, file = str(tmp_path / "core"), str(tmp_path / "one")
    ram = guest.ram.data.tobytes()
    (tmp_path / "core").write_bytes(core([Load(0, ram)], cpu_note(guest.registers_now)))
    assert ptlive("snapshot", file, "--from", core_file, "--full").status == 0
    before, after = (answer(ptlive, "map", "--from", one) for one in (core_file, file))
    assert after["roots"] == before["roots"]
    texts = [note["text"] for note in after["notes"]]
    assert any(text.startswith("when the snapshot was made: EFER is not in") for text in texts)


@pytest.mark.qemu
def test_the_menu_guest_as_snapshot_and_as_core(
    ptlive: Callable[..., Done], menu_guest_5: RunningGuest, tmp_path: Path
) -> None:
    """Every kind of mapping, stopped; a snapshot, a full one, QEMU's own core, and a twin."""
    live = ["--guest", menu_guest_5.name]
    tables, full, dump = (str(tmp_path / name) for name in ("tables", "full", "core"))
    assert ptlive("snapshot", tables, *live).status == 0
    assert ptlive("snapshot", full, "--full", *live).status == 0
    with Qmp(menu_guest_5.qmp, timeout=60) as qmp:
        qmp.command("dump-guest-memory", paging=False, protocol=f"file:{dump}")
    check_alike(ptlive, live, [tables, full], dump)
    verified = ptlive("verify", "--from", full, "--random", "64", "--json")
    assert verified.status == 0, verified
    (report,) = json.loads(verified.out)["roots"]
    assert {one["answered_by"] for one in report["result"]["checks"]} == {"TCG", "reference"}
    assert not report["result"]["disagreements"]
    # A witness that is not ours: the registers where pyelftools finds QEMU's note.
    with open(dump, "rb") as file:
        elf = ELFFile(file)
        (segment,) = elf.iter_segments("PT_NOTE")
        file.seek(segment["p_offset"])
        found = file.read(segment["p_filesz"])
    at = found.index(b"QEMU\0\0\0\0") + 8 + 392 + 8 * 3
    cr3 = int.from_bytes(found[at : at + 8], "little")
    assert int(answer(ptlive, "map", "--from", dump)["roots"][0]["root"], 16) == cr3 & ~0xFFF


@pytest.mark.qemu
def test_a_linux_that_runs_is_kept_as_it_runs(
    ptlive: Callable[..., Done], linux_guest: RunningGuest, tmp_path: Path
) -> None:
    file = str(tmp_path / "one")
    done = ptlive("snapshot", file, "--guest", linux_guest.name, "--live", "--full")
    assert done.status == 0, done
    with Qmp(linux_guest.qmp) as qmp:
        assert qmp.running()
    value = answer(ptlive, "map", "--from", file)
    assert value["notes"][0]["code"] == "read-live"
    assert value["roots"][0]["result"]["leaves"] > 1000


@pytest.mark.qemu
@pytest.mark.long
@pytest.mark.timeout(600)  # 5 GB are dumped, and read several times
@pytest.mark.parametrize("levels", [4, 5])
def test_split_ram_of_linux_as_snapshot_and_as_core(
    ptlive: Callable[..., Done], tmp_path: Path, levels: int
) -> None:
    """5 GB, of which two lie above the PCI hole, with isolated user tables."""
    machine = Machine(levels=levels, memory=5 << 30)
    with launch.temporary(linux.recipe(append="pti=on"), machine) as guest:
        with Qmp(guest.qmp) as qmp:
            qmp.command("stop")
        live = ["--guest", guest.name]
        tables, full, dump = (str(tmp_path / name) for name in ("tables", "full", "core"))
        assert ptlive("snapshot", tables, *live).status == 0
        assert ptlive("snapshot", full, "--full", *live).status == 0
        before = os.stat(guest.ram).st_blocks
        assert before * 512 < 2 << 30, "what was never written was not read"
        with Qmp(guest.qmp, timeout=110) as qmp:
            qmp.command("dump-guest-memory", paging=False, protocol=f"file:{dump}")
        check_alike(ptlive, live, [tables, full], dump)
        roots = answer(ptlive, "roots", *live)
        assert answer(ptlive, "roots", "--from", full)["roots"] == roots["roots"]
        assert ptlive("verify", "--from", full, "--random", "64").status == 0


def check_alike(
    ptlive: Callable[..., Done], live: list[str], snapshots: list[str], dump: str
) -> None:
    """Compare what is said of a stopped guest with what is said of the files of it."""
    about = open_snapshot_about(snapshots[0])
    told = [f"efer={about['cpus'][0]['registers']['efer']}", "gbpages=yes"]
    told += [f"maxphyaddr={about['cpus'][0]['maxphyaddr']}"]
    if about["cpus"][0]["pkru"] is not None:
        told.append(f"pkru={about['cpus'][0]['pkru']}")
    for region in about["regions"]:
        kind = region["kind"].lower()
        if kind != "ram" or region["name"] not in ("ptlive", "/objects/ram", "ram"):
            told.append(f"{kind}={region['first']}..{region['last']}")
    for command in commands(answer(ptlive, "map", *live)):
        wanted = answer(ptlive, *command, *live, *_pkru(about))["roots"]
        for file in snapshots:
            assert answer(ptlive, *command, "--from", file)["roots"] == wanted
        options = ["--from", dump, "--assume", ",".join(told)]
        assert answer(ptlive, *command, *options)["roots"] == wanted


def _pkru(about: dict[str, Any]) -> list[str]:
    known = about["cpus"][0]["pkru"]
    return ["--pkru", known] if known is not None else []


def open_snapshot_about(file: str) -> dict[str, Any]:
    return open_snapshot(Path(file)).about
