"""From options to address spaces: which guest, which vCPU, which root; and what must be said."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.cli import hold
from ptlive.target import running
from ptlive.target.running import Guest as Bundled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

HERE = "0x70001000"


def bundled(name: str) -> Bundled:
    return Bundled(
        name=name,
        kind="menu",
        levels=5,
        accelerator="tcg",
        memory=1,
        cpus=1,
        pid=1,
        process_started=1,
        started=1,
        gdb=f"unix:/run/{name}",
        qmp="",
        serial="",
        ram="",
        folder="",
        socket_folder="",
        symbols=None,
        command=[],
    )


@pytest.fixture
def asked(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that commands attach to; two bundled guests run."""
    addresses: list[str] = []

    @contextmanager
    def attach(address: str, **_: Any) -> Iterator[Any]:
        addresses.append(address)
        yield guest.target()

    monkeypatch.setattr(hold, "attach", attach)
    return addresses


def run_guests(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(running, "guests", lambda: [bundled(name) for name in names])


def test_the_only_guest_that_runs_is_meant(
    ptlive: Callable[..., Done], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_guests(monkeypatch, "menu")
    assert ptlive("translate", HERE).status == 0
    run_guests(monkeypatch)
    assert ptlive("translate", HERE).status == 0
    run_guests(monkeypatch, "menu", "linux")
    assert ptlive("translate", HERE, "--guest", "linux").status == 0
    assert ptlive("translate", HERE, "--gdb", "host:7").status == 0
    assert asked == ["unix:/run/menu", "localhost:1234", "unix:/run/linux", "host:7"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "several guests run: name one of menu, linux by --guest"),
        (["--guest", "x"], "no guest 'x' runs; there are: menu, linux"),
        (["--guest", "menu", "--gdb", "a:1"], "--guest and --gdb both say where the guest is"),
        (["--gdb", "nonsense"], None),
    ],
)
def test_an_unknown_or_ambiguous_guest_is_refused(
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    sentence: str | None,
) -> None:
    run_guests(monkeypatch, "menu", "linux")
    assert (sentence or "'nonsense' is no address") in refused("map", *options)


@pytest.mark.parametrize(
    "options", [["--vcpu", "2"], ["--vcpu", "0"], ["--vcpu", "-1"], ["--root", "vcpu:2"]]
)
def test_a_vcpu_that_does_not_exist_is_refused(
    refused: Callable[..., str], guest: Guest, options: list[str]
) -> None:
    assert refused("map", "--gdb", "x:1", *options).endswith("; it has 1")


def test_several_roots_are_told_apart(ptlive: Callable[..., Done], guest: Guest) -> None:
    done = ptlive(
        "translate", "--gdb", "x:1", HERE, "--root", "cr3", "--root", "0x1000", "--root", "vcpu:1"
    )
    heads = [line for line in done.out.splitlines() if line.startswith("root ")]
    assert heads == ["root 0x0 (cr3)", "root 0x1000 (0x1000)", "root 0x0 (vcpu:1)"]
    value = json.loads(
        ptlive("map", "--gdb", "x:1", "--root", "cr3", "--root", "0x1000", "--json").out
    )
    assert [(root["root"], root["origin"]) for root in value["roots"]] == [
        ("0x0", "cr3"),
        ("0x1000", "0x1000"),
    ]


@pytest.mark.parametrize(
    "command",
    [["map"], ["translate", HERE], ["table", "0"], ["verify", "--oracle", "debug-walker"]],
)
def test_every_json_has_the_same_envelope(
    ptlive: Callable[..., Done], guest: Guest, command: list[str]
) -> None:
    value = json.loads(ptlive(*command, "--gdb", "x:1", "--json").out)
    assert list(value) == ["schema", "guest", "memory", "accelerator", "notes", "roots"]
    assert value["schema"] == f"ptlive.{command[0]}/1"
    assert (value["guest"], value["memory"], value["accelerator"]) == ("x:1", "stub", "TCG")
    (root,) = value["roots"]
    assert list(root) == ["root", "format", "origin", "result"]
    assert (root["root"], root["format"], root["origin"]) == ("0x0", "x86-64-4level", "cr3")


@pytest.mark.parametrize(("name", "bit"), [("CET", 1 << 23), ("PKS", 1 << 24), ("LAM", 1 << 28)])
def test_control_bits_that_are_not_modelled_are_noted_and_the_rest_works(
    ptlive: Callable[..., Done], guest: Guest, name: str, bit: int
) -> None:
    guest.registers_now["cr4"] |= bit
    for command in (["map"], ["translate", HERE], ["verify", "--oracle", "debug-walker"]):
        done = ptlive(*command, "--gdb", "x:1")
        assert (done.status, done.out != "") == (0, True)
        (note,) = done.err.splitlines()
        assert note.startswith(f"ptlive: note: {name}: ")
    value = json.loads(ptlive("map", "--gdb", "x:1", "--json").out)
    (noted,) = value["notes"]
    assert noted["code"] == f"not-modelled-{name.lower()}"


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ({"cr0": 0x10}, "paging is off (CR0=0x10)"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["map"], ["translate", HERE], ["table", "0"], ["verify", "--oracle", "debug-walker"]],
)
def test_paging_off_is_refused(
    refused: Callable[..., str],
    guest: Guest,
    registers: dict[str, int],
    words: str,
    command: list[str],
) -> None:
    guest.registers_now |= registers
    assert words in refused(*command, "--gdb", "x:1")


def test_what_the_stub_says_does_not_steer_the_terminal(
    ptlive: Callable[..., Done], guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = guest.target()
    target.version = "7.2\x1b[2J\x9b31m\r"
    target.notes = ("it says \x1b]0;gotcha\x07",)
    monkeypatch.setattr(guest, "target", lambda: target)
    done = ptlive("map", "-v", "--gdb", "x:1")
    assert done.status == 0
    assert all(c.isprintable() or c == "\n" for c in done.err + done.out)
    assert "7.2\\x1b[2J" in done.err
    said = ptlive("map", "--json", "--gdb", "x:1").out
    assert all(c.isprintable() or c == "\n" for c in said)


def test_verbose_tells_root_format_vcpu_memory_and_time(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    first, *why, last = ptlive("translate", HERE, "-v", "--gdb", "x:1").err.splitlines()
    for words in ("x:1", "QEMU 7.2.22", "TCG", "vCPU 1", "root 0x0 (cr3)", "x86-64-4level"):
        assert words in first
    assert "memory by stub" in first
    assert why == [
        "ptlive: memory not shared: the guest's RAM is not shared",
        "ptlive: memory not proc: QEMU's process is not known: it runs elsewhere, or as another "
        "user",
    ]
    assert last.startswith("ptlive: ")
    assert last.endswith(" s in all")


def test_qmp_that_does_not_answer_is_one_sentence(
    refused: Callable[..., str], asked: list[str]
) -> None:
    for command in (["map"], ["translate", HERE], ["table", "0"], ["verify"]):
        said = refused(*command, "--gdb", "x:1", "--qmp", "unix:/nowhere/qmp")
        assert said == "no QMP at unix:/nowhere/qmp: No such file or directory"
    assert "'nonsense' is no address" in refused("map", "--gdb", "x:1", "--qmp", "nonsense")
    assert asked == [], "the guest was stopped for nothing"
