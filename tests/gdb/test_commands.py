"""ptlive's commands and functions in plain gdb, run by scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.guests import menu
from ptlive.guests.elf import symbol
from tests.gdb.scripted import Scripted, scripted
from tests.gdb.watching import LOAD
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

SYMBOLS = f"file {menu.ELF}"
PACKAGE = Path(ptlive.__file__).parent


@pytest.fixture(scope="module")
def gdb(menu_guest_5: Guest) -> Iterator[Scripted]:
    with scripted(menu_guest_5) as one:
        yield one


def values(said: str) -> list[int]:
    """Return what `print` has printed."""
    return [int(value, 0) for value in re.findall(r"^\$\d+ = (\S+)$", said, re.MULTILINE)]


def printed(command: str) -> str:
    """Return a command that prints what another one returns as a string, between marks."""
    return f"python print('<<' + gdb.execute({command!r}, to_string=True) + '>>')"


def between(said: str) -> list[str]:
    return re.findall(r"<<(.*?)>>", said, re.DOTALL)


def test_addresses_are_expressions_and_symbols_name_them(gdb: Scripted) -> None:
    said = gdb(
        SYMBOLS,
        "ptlive translate &menu_count",
        "ptlive translate '(char *) &menu_count - 1 + 1'",
        "ptlive map &menu_count..&menu_count",
        "ptlive find --va &menu_count",
        "ptlive translate main",
        "print $_pt_status",
    )
    at = symbol(menu.ELF, "menu_count")
    assert said.count(f"{at:#018x} -> {at:#x} (4K page, RAM)") == 2
    assert "in menu_count\n" in said
    assert re.search(rf"^  {at:#018x} .* menu_count$", said, re.MULTILINE)
    assert f"{at & ~0xFFF:#018x}" in said
    assert 'No symbol "main" in current context' in said


def test_what_fails_is_one_sentence_and_ends_a_script(gdb: Scripted, tmp_path: Path) -> None:
    script = tmp_path / "script.gdb"
    script.write_text("echo before\\n\nptlive translate 0x8000000000000000\necho behind\\n\n")
    said = gdb(f"source {script}", "print $_pt_status")
    assert "before" in said
    assert "behind" not in said
    assert "0x8000000000000000 is not canonical in x86-64-5level" in said
    assert values(said) == [2]


def test_an_error_of_gdb_itself_is_a_sentence_too(gdb: Scripted) -> None:
    """As when many Ctrl-C have torn a reply apart, and it reads the rest for the next one."""
    said = gdb(
        *("python from ptlive.gdb.link import GdbLink", "python send = GdbLink.send"),
        *("python", "def torn(*_):", "  GdbLink.send = send", "  raise gdb.error('torn')", "end"),
        *("python GdbLink.send = torn", "ptlive map", "ptlive translate $rip"),
    )
    assert said.lstrip(">").startswith("torn\n")
    assert "(4K page, RAM)" in said


def test_what_is_found_is_no_error_but_a_status(gdb: Scripted) -> None:
    said = gdb(
        "ptlive translate 0x5000 --check",
        "print $_pt_status",
        "ptlive translate $rip --check",
        "print $_pt_status",
    )
    assert values(said) == [1, 0]


def test_json_comes_alone_to_who_asks_for_a_string(gdb: Scripted, menu_guest_5: Guest) -> None:
    said = gdb(printed("ptlive translate $rip --json -v --memory stub"))
    (text,) = between(said)
    told = json.loads(text)
    assert told["schema"] == "ptlive.translate/1"
    assert told["guest"] == menu_guest_5.name
    assert told["memory"] == "stub"
    assert "attached in" in said.replace(text, "")  # and the rest is told beside it


def test_pipe_and_logging_see_the_output(gdb: Scripted, tmp_path: Path) -> None:
    log = tmp_path / "log"
    said = gdb(
        "pipe ptlive map | grep -c ^0x",
        f"set logging file {log}",
        "set logging enabled on",
        "ptlive translate $rip",
        "set logging enabled off",
    )
    assert int(re.findall(r"^(\d+)$", said, re.MULTILINE)[0]) > 100
    assert "(4K page, RAM)" in log.read_text()


def test_functions_say_what_the_guest_says_of_itself(gdb: Scripted) -> None:
    at = symbol(menu.ELF, "menu_count")
    said = gdb(
        SYMBOLS,
        "print $_pt_pa(&menu_count)",
        "print $_pt_present(&menu_count)",
        "print $_pt_writable(&menu_count)",
        "print $_pt_user(&menu_count)",
        "print $_pt_executable(&menu_count)",
        "print $_pt_page_size(&menu_count)",
        "print $_pt_level(&menu_count)",
        "print $_pt_entry(&menu_count, 1) & ~0xfff",
        """print $_pt_allows(&menu_count, "supervisor-write")""",
        """print $_pt_allows(&menu_count, "user-read")""",
        "print $_pt_pa($rip, $cr3) == $_pt_pa($rip)",
    )
    frame = at & ~0xFFF
    expected = [at, 1, 1, 0, 0, 0x1000, 1, frame | 1 << 63, 1, 0, 1]
    assert [value % (1 << 64) for value in values(said)] == expected


def test_without_a_translation_functions_have_values(gdb: Scripted) -> None:
    said = gdb(
        "print $_pt_pa(0x5000) == -1",
        "print $_pt_present(0x5000) + $_pt_writable(0x5000) + $_pt_user(0x5000)",
        "print $_pt_executable(0x5000) + $_pt_page_size(0x5000)",
        "print $_pt_level(0x5000)",
        "print $_pt_level(0x8000000000000000)",
        "print $_pt_entry(0x5000, 9)",
        'print $_pt_entry(0x5000, "a")',
    )
    assert "char [2] is no address" in said
    assert values(said) == [1, 0, 0, 1, 0, 0]


def test_a_condition_of_a_breakpoint_asks_them(gdb: Scripted) -> None:
    # The guest parks in a loop of two instructions.
    said = gdb(
        "set $met = 0",
        "hbreak *$rip if !$_pt_executable($rip)",
        "hbreak *$rip if $_pt_pa($rip) == $rip && ++$met == 3",
        "continue",
        "print $bpnum",
        "print $met",
        "info breakpoints",
        "delete",
    )
    assert "Breakpoint 2, " in said
    assert values(said) == [2, 3]
    assert "Error" not in said


def test_the_selected_thread_is_the_vcpu(gdb: Scripted) -> None:
    said = gdb("ptlive translate $rip -v", "ptlive translate $rip --vcpu 2")
    assert "vCPU 1, root" in said
    assert "the guest has no vCPU 2" in said


def test_reading_leaves_gdb_as_it_was(gdb: Scripted) -> None:
    state = ("info registers", "x/4gx $rip", "frame", "maint packet qqemu.PhyMemMode")
    said = gdb(
        SYMBOLS,
        *map(printed, state),
        "ptlive map --memory stub",
        "ptlive verify --oracle stepped --probes 50",
        *map(printed, state),
    )
    told = between(said)
    assert told[:4] == told[4:]
    assert 'received: "0"' in told[3]
    assert "disagreements in" in said


def test_two_guests_in_one_gdb(gdb: Scripted, menu_guest_5: Guest, menu_guest_4: Guest) -> None:
    # Their sockets have the same file name.
    asked = ("ptlive translate $rip -v", "print $_pt_pa($rip)")
    named = [f"ptlive map --guest {one.name} 0..0x2000" for one in (menu_guest_4, menu_guest_5)]
    assert re.findall(r"x86-64-\dlevel", gdb(*named)) == ["x86-64-4level", "x86-64-5level"]
    other = menu_guest_4.gdb.removeprefix("unix:")
    second = gdb(
        *("add-inferior -no-connection", "inferior 2", "print $_pt_pa(0)", "ptlive map $rip"),
        *(f"target remote {other}", *asked),
    )
    assert second.count("gdb is attached to no guest") == 2
    assert f"ptlive: {menu_guest_4.name}, " in second
    assert "x86-64-4level; memory by shared" in second
    first = gdb("inferior 1", *asked)
    assert f"ptlive: {menu_guest_5.name}, " in first
    assert "x86-64-5level; memory by shared" in first
    again = gdb("inferior 2", "disconnect", "ptlive map", f"target remote {other}", *asked)
    assert "gdb is attached to no guest" in again
    assert values(second) == values(again)
    gdb("inferior 1")


def test_the_guest_is_not_let_run(gdb: Scripted) -> None:
    said = gdb("continue&", "ptlive map", "interrupt")
    assert "the guest runs: stop it first" in said
    deadline = time.monotonic() + 30
    while "is running" in gdb("print $rip"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Foreign(FakeStub):
    """A stub that is not QEMU's: it has what gdb needs, and of the rest it says nothing."""

    def _replies(self, payload: bytes) -> list[bytes]:
        known = {b"?": b"T05thread:1;", b"qfThreadInfo": b"m1", b"qsThreadInfo": b"l"}
        # x86-64 without a description: gdb/features/i386/64bit-core.xml and 64bit-sse.xml.
        return [known.get(payload, b"00" * 536 if payload == b"g" else b"")]


def test_what_is_no_qemu_is_one_sentence(tmp_path: Path) -> None:
    with closing(Foreign(tmp_path / "stub")) as stub:
        attach = ("set architecture i386:x86-64", f"target remote {stub.path}", "ptlive map")
        words = [word for one in (f"source {LOAD}", *attach) for word in ("-ex", one)]
        done = subprocess.run(
            ["gdb", "-nx", "-batch", *words], capture_output=True, text=True, check=False
        )
    assert done.stderr.splitlines()[-1] == "the stub does not describe its registers"


def test_help_is_that_of_the_command_line(gdb: Scripted) -> None:
    said = gdb("help ptlive", "help ptlive map", "help function _pt_entry")
    assert "ptlive verify -- Ask oracles whether the walk is right" in said
    assert "--split" in said
    assert "Usage: $_pt_entry (VA, LEVEL[, ROOT])" in said


def test_it_is_loaded_once_and_aliases_are_those_that_nobody_has() -> None:
    own = 'python exec(\'class A(gdb.Command):\\n def invoke(self, *_): print("mine")\\n\\n'
    own += 'A("v2p", gdb.COMMAND_USER)\')'
    imported = f"python sys.path.append({str(PACKAGE.parent)!r}); import ptlive.gdb"
    commands = (
        own,
        imported,
        f"source {LOAD}",
        "v2p",
        "help p2v",
        "ptlive decode 0x1067 --level 1",
    )
    words = [word for one in commands for word in ("-ex", one)]
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *words], capture_output=True, text=True, check=True
    )
    assert "mine" in done.stdout
    assert "ptlive find" in done.stdout
    assert "as a PTE (pte, level 1): leaf" in done.stdout
    assert done.stderr == "ptlive: v2p is another's here; ours is ptlive translate\n"


def test_without_libraries_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "ptlive"
    shutil.copytree(PACKAGE / "gdb", copy / "gdb")
    shutil.copy(PACKAGE / "__init__.py", copy)
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", f"source {copy}/gdb/load.py"],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONNOUSERSITE": "1"},
        check=False,
    )
    if "does not find" not in done.stderr:
        pytest.skip("gdb's own Python has the libraries")
    assert re.search(r"ptlive: gdb's Python 3\.\d+ does not find .*: install", done.stderr)
    assert "Traceback" not in done.stderr
