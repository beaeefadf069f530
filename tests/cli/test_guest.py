"""`ptlive guest`: options, and what is printed of a guest that somebody else has booted."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.cli import start as cli_start
from ptlive.guests.ready import Says
from ptlive.target import launch, prompt, running
from ptlive.target.running import Guest as Bundled
from tests.guests.said.test_census import RUN as CENSUS
from tests.guests.said.test_kernel import RUN as KERNEL
from tests.guests.said.test_mapper import RUN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.guests import Recipe
    from ptlive.target.machine import Machine
    from tests.cli.conftest import Done


class Launched:
    """Stands in for the launcher: what it was asked to boot, and what that guest says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = "".join(RUN) + "linux: levels=5 release=6.1\n"
        self.recipe: Recipe | None = None
        self.machine: Machine | None = None
        self.stopped = 0

    def start(self, recipe: Recipe, machine: Machine, **_: Any) -> Bundled:
        self.recipe, self.machine = recipe, machine
        return self.guest()

    def stop(self, _guest: Bundled) -> None:
        self.stopped += 1

    def guest(self) -> Bundled:
        (self.folder / "serial.log").write_text(self.log)
        return Bundled(
            name="linux",
            kind="linux",
            levels=5,
            accelerator="tcg",
            memory=512 << 20,
            cpus=1,
            pid=1,
            process_started=1,
            started=0.0,
            gdb="unix:/gdb",
            qmp="unix:/qmp",
            serial="unix:/serial",
            ram="/ram",
            folder=str(self.folder),
            socket_folder=str(self.folder),
            symbols=None,
            command=["qemu"],
        )


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launched:
    made = Launched(tmp_path)
    monkeypatch.setattr(launch, "start", made.start)
    monkeypatch.setattr(launch, "stop", made.stop)
    said = "linux: levels=5 release=6.1"
    monkeypatch.setattr(cli_start, "wait_ready", lambda one, _: dataclasses.replace(one, said=said))
    monkeypatch.setattr(running, "find", lambda _=None: made.guest())
    return made


@pytest.mark.parametrize(
    ("option", "fits"),
    [
        (("--map", "all"), "linux"),
        (("--kernel", "/k"), "linux and own"),
        (("--release", "bookworm-backports"), "linux"),
        (("--append", "pti=on"), "linux and own"),
        (("--map", "nonsense"), "linux"),
        (("--uefi",), "linux"),
        (("--disk", "/d"), "own"),
        (("--ready", "up"), "own"),
        (("--debug-exit", "0xf4"), "own"),
    ],
)
def test_options_of_others_do_not_fit_the_menu_guest(
    refused: Callable[..., str], launched: Launched, option: tuple[str, ...], fits: str
) -> None:
    said = refused("guest", "start", "menu", *option)
    assert said == f"{option[0]} is for {fits}; menu has no use for it"
    assert launched.recipe is None


def test_a_system_of_ones_own_is_what_the_options_say(
    ptlive: Callable[..., Done], launched: Launched, tmp_path: Path
) -> None:
    for name in ("kernel", "initrd", "disk", "more", "cd", "fw"):
        (tmp_path / name).write_bytes(bytes(16))
    files = {name: str(tmp_path / name) for name in ("kernel", "initrd", "disk", "more")}
    done = ptlive(
        *("guest", "start", "own", "--kernel", files["kernel"], "--initrd", files["initrd"]),
        *("--append", "a=1", "--append", "b", "--disk", files["disk"], "--disk", files["more"]),
        *("--cdrom", str(tmp_path / "cd"), "--bios", str(tmp_path / "fw")),
        *("--ready", "^up$", "--patience", "2.5", "--debug-exit", "0xf4", "--", "-device", "x"),
    )
    assert done.status == 0, done.err
    made, machine = launched.recipe, launched.machine
    assert made
    assert machine
    assert (made.ready, made.patience, made.levels) == (Says("^up$"), 2.5, ())
    assert (machine.levels, machine.extra) == (None, ("-device", "x"))
    boot = made.prepare(print)
    assert (boot.kernel, boot.initrd) == (tmp_path / "kernel", tmp_path / "initrd")
    assert boot.disks == (tmp_path / "disk", tmp_path / "more")
    assert (boot.cdrom, boot.firmware) == (tmp_path / "cd", tmp_path / "fw")
    assert (boot.append, boot.debug_exit, boot.symbols) == ("a=1 b", 0xF4, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing to boot is named: a kernel, a disk, a CD or firmware (bios)"),
        (("--kernel", "/no/k"), "cannot read the kernel /no/k: No such file or directory"),
        (("--disk", "/"), "cannot read the disk /: Is a directory"),
        (
            ("--bios", "/dev/null", "--ready", "x("),
            "'x(' is no regular expression: missing ), unterminated subpattern at position 1",
        ),
        (
            ("--bios", "/dev/null", "--ready", "after:soon"),
            "'after:soon' is no number of seconds, as after:2.5 is",
        ),
        (
            ("--bios", "/dev/null", "--ready", "at:main"),
            "where 'main' is cannot be known without an ELF file that has symbols",
        ),
    ],
)
def test_what_cannot_be_booted_is_told_before_anything_is(
    refused: Callable[..., str], launched: Launched, options: tuple[str, ...], said: str
) -> None:
    assert refused("guest", "start", "own", *options) == said
    assert launched.recipe is None


def test_a_port_is_a_port(refused: Callable[..., str], launched: Launched) -> None:
    assert "0x10000 is no I/O port" in refused("guest", "start", "own", "--debug-exit", "0x10000")


def test_a_kind_that_there_is_not_is_refused_before_anything_boots(
    refused: Callable[..., str], launched: Launched
) -> None:
    said = refused("guest", "start", "linux", "--map", "thp=2,dog")
    assert said.startswith("'dog' is nothing that the Linux guest maps: there are all, shared,")
    assert launched.recipe is None


def test_without_options_the_recipe_is_the_usual_one(
    ptlive: Callable[..., Done], launched: Launched
) -> None:
    done = ptlive("guest", "start", "linux")
    assert done.status == 0
    assert launched.recipe is not None
    assert launched.recipe.memory == 512 << 20
    assert "witness" not in done.out
    assert "  its prompt: /serial (a unix socket)\n" in done.out


def test_start_tells_what_was_mapped_and_what_could_not_be(
    ptlive: Callable[..., Done], launched: Launched
) -> None:
    done = ptlive("guest", "start", "linux", "--map", "huge1g", "--memory", "3G")
    assert done.out.split("\n")[:4] == [
        "linux is up: linux: levels=5 release=6.1",
        "  process 86 mapped 4 pages and spins in user mode",
        "  without high: user addresses end at 2^47 (no five levels)",
        "  ptlive guest witness linux",
    ]
    assert launched.recipe is not None
    assert launched.machine is not None
    assert launched.recipe.memory == (2 << 30) + (512 << 20)
    assert launched.machine.memory == 3 << 30  # the user's word is the last


def test_start_as_json_has_the_witness(ptlive: Callable[..., Done], launched: Launched) -> None:
    value = json.loads(ptlive("guest", "start", "linux", "--map", "thp", "--json").out)
    (one,) = value["guests"]
    assert one["folder"] == str(launched.folder)
    assert (one["witness"]["pid"], one["witness"]["pkru"]) == (86, 0x55555E44)
    assert one["witness"]["pages"][0]["pfn"] == 0x3001
    assert one["witness"]["without"] == ["high: user addresses end at 2^47 (no five levels)"]


def test_a_mapper_that_died_ends_the_guest(ptlive: Callable[..., Done], launched: Launched) -> None:
    launched.log = RUN[0] + "mapper: failed: the process that maps has died\n"
    done = ptlive("guest", "start", "linux", "--map", "thp")
    assert done.status == 2
    assert "ptlive: the guest's mapper failed: the process that maps has died\n" in done.err
    assert launched.stopped == 1


def test_the_witness_is_printed_a_line_for_each_address(
    ptlive: Callable[..., Done], launched: Launched
) -> None:
    launched.log = launched.log.replace("lines=7", "lines=9")
    assert ptlive("guest", "witness").out.split("\n") == [
        "pid  kind  linear address      size  prot  touched  key  kernel says",
        " 86  thp   0x00007f1caee01000  2M    rw-   written    3  "
        "frame 0x3001, exclusive, file or shared",
        " 86  swap  0x00007f1cb0132000  4K    r-x   read       0  swapped out",
        "without high: user addresses end at 2^47 (no five levels)",
        "2 lines did not arrive whole",
        "",
    ]


def test_the_witness_as_json(ptlive: Callable[..., Done], launched: Launched) -> None:
    value = json.loads(ptlive("guest", "witness", "linux", "--json").out)
    assert (value["schema"], value["guest"], value["lost"]) == ("ptlive.witness/1", "linux", 0)
    assert value["sums"][0]["pages"] == 4
    # jq and JavaScript round larger numbers than 2^53.
    assert value["pages"][0]["va"] == "0x00007f1caee01000"
    assert value["sums"][0]["weighted"] == "0xffffffffffffffff"


def test_a_guest_without_a_witness_is_told(refused: Callable[..., str], launched: Launched) -> None:
    launched.log = "linux: levels=5\n"
    assert "has no witness: start it with --map" in refused("guest", "witness")


def test_a_log_that_is_gone_is_told(
    refused: Callable[..., str], launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = launched.guest()
    (launched.folder / "serial.log").unlink()
    monkeypatch.setattr(running, "find", lambda _=None: gone)
    assert "serial.log: No such file or directory" in refused("guest", "witness")


def test_other_guests_than_linux_have_the_levels_that_they_can(
    ptlive: Callable[..., Done], launched: Launched
) -> None:
    for kind, levels in (("ovmf", 4), ("xen", 4), ("memtest", 4), ("menu", 5), ("linux", 5)):
        assert ptlive("guest", "start", kind).status == 0
        assert launched.machine
        assert launched.machine.levels == levels


def test_processes_are_asked_of_the_guest_and_printed(
    ptlive: Callable[..., Done], launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched.folder
    asked: list[str] = []

    def ask(_guest: Bundled, command: str) -> str:
        asked.append(command)
        return "".join(CENSUS).replace("na;me", "\x1b[2Jme")

    monkeypatch.setattr(prompt, "ask", ask)
    assert ptlive("guest", "witness", "--processes").out.split("\n") == [
        "pid  name                   root       mappings  pages  swapped  threads",
        "  1  a (strange) \\x1b[2Jme  0x1e2c000         3      3        1        1",
        "kernel threads, which have no root: 1",
        "",
    ]
    assert asked == ["mapper census"]
    value = json.loads(ptlive("guest", "witness", "--processes", "--json").out)
    assert value["schema"] == "ptlive.processes/1"
    first = value["processes"][0]
    assert first["root"] == "0x0000000001e2c000"
    assert first["mappings"][1]["weighted"] == "0xffffffffffffffff"
    assert first["frames"] == [{"va": "0x0000000000400000", "pfn": 0x1FCB4}]


def test_the_kernel_is_asked_and_printed(
    ptlive: Callable[..., Done], launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched.folder
    monkeypatch.setattr(prompt, "ask", lambda _guest, _command: "".join(KERNEL))
    assert ptlive("guest", "witness", "--kernel").out.split("\n") == [
        "root     0x0000000012422000  init_mm",
        "segment  0xff3362b1c0001000..0xff3362b1c009efff  at 0x1000",
        "segment  0xff752fb180000000..0xffa72fb17ffffffe",
        "module   0xffffffffc0449000  tun, 69632 bytes",
        "RAM      0x0000000000001000..0x000000000009fbff",
        "swap     /dev/nvme0n1",
        "symbol   0xffffffff911505a8  0xff3362b1c0000000  page_offset_base",
        "symbol   0xffffffff92830000  unreadable  _end",
        "",
    ]
    value = json.loads(ptlive("guest", "witness", "--kernel", "--json").out)
    assert value["words"] == {"page_offset_base": "0xff3362b1c0000000"}
    assert value["segments"][1] == {
        "va": "0xff752fb180000000",
        "last_va": "0xffa72fb17ffffffe",
        "pa": None,
    }


def test_two_questions_at_once_are_refused(refused: Callable[..., str], launched: Launched) -> None:
    assert launched.folder
    assert "one at a time" in refused("guest", "witness", "--processes", "--kernel")


def test_only_linux_is_asked(
    refused: Callable[..., str], launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    menu = dataclasses.replace(launched.guest(), kind="menu", name="menu")
    monkeypatch.setattr(running, "find", lambda _=None: menu)
    assert refused("guest", "witness", "--kernel").startswith("menu is no Linux guest")


def test_no_guest_has_no_witness(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "find", lambda _=None: None)
    assert refused("guest", "witness") == "no guest that ptlive started is running"


def test_what_a_guest_says_does_not_steer_the_terminal(
    ptlive: Callable[..., Done], launched: Launched
) -> None:
    launched.log = launched.log.replace("without high", "without \x1b[2Jhigh")
    said = ptlive("guest", "witness").out
    assert "\x1b" not in said
    assert "without \\x1b[2Jhigh" in said
