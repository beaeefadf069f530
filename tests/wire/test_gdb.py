"""The gdb driver alone, on a gdb without a target."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.gdb import GdbMi, quote
from tests.interruption import for_ever, interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gdb() -> Iterator[GdbMi]:
    process = GdbMi()
    yield process
    process.quit()
    assert process.process.returncode is not None


def test_replies_come_in_order_with_what_was_printed(gdb: GdbMi) -> None:
    replies = gdb.console(["echo one\\n", "nonsense", 'echo "tw\\\\o"'])
    assert [reply.text for reply in replies] == ["one\n", "", '"tw\\o"']
    assert [reply.error for reply in replies] == [
        None,
        'Undefined command: "nonsense".  Try "help".',
        None,
    ]


def test_payloads_are_parsed(gdb: GdbMi) -> None:
    [reply] = gdb.batch(["-list-features"])
    assert reply.message == "done"
    assert "thread-info" in reply.payload["features"]


def test_many_commands_at_once_do_not_block(gdb: GdbMi) -> None:
    """More than a pipe holds, in both directions."""
    replies = gdb.console([f"echo {at} {'x' * 100}" for at in range(1500)])
    assert [int(reply.text.split()[0]) for reply in replies] == list(range(1500))


def test_an_interrupted_batch_does_not_disturb_the_next(gdb: GdbMi) -> None:
    for delay in (0.0, 0.002, 0.02, 0.05, 0.1):
        interrupt(
            delay, lambda: for_ever(lambda: gdb.console([f"echo {at}" for at in range(20000)]))
        )
        assert [reply.text for reply in gdb.console(["echo a", "echo b"])] == ["a", "b"]


def test_a_terminal_cannot_interrupt_gdb(gdb: GdbMi) -> None:
    assert os.getsid(gdb.pid) == gdb.pid


def test_says_when_gdb_is_missing() -> None:
    with pytest.raises(PtliveError, match="no-such-gdb is not installed"):
        GdbMi("no-such-gdb")


def test_says_when_gdb_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "gdb"
    broken.write_bytes(b"\x7fELF rubbish")
    broken.chmod(0o755)
    with pytest.raises(PtliveError, match="gdb does not start: Exec format error"):
        GdbMi(str(broken))


@pytest.mark.parametrize("commands", [1, 20000])
def test_says_when_gdb_dies_and_again_ever_after(gdb: GdbMi, commands: int) -> None:
    gdb.batch(["-list-features"])
    gdb.process.kill()
    for _ in range(2):
        with pytest.raises(PtliveError, match="gdb ended unexpectedly"):
            gdb.console(["echo x"] * commands)
    assert gdb.failed


def test_does_not_wait_for_ever(gdb: GdbMi) -> None:
    gdb.batch(["-list-features"])
    started = time.monotonic()
    with pytest.raises(PtliveError, match="gdb has not answered"):
        gdb.console(["shell sleep 5"], patience=0.2)
    assert time.monotonic() - started < 2
    gdb.kill()


def test_refuses_a_line_that_gdb_might_see_half_of(gdb: GdbMi) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        gdb.console(["echo " + "x" * 5000])
    assert gdb.console(["echo still here"])[0].text == "still here"


def test_quotes_as_c_does() -> None:
    assert quote('a "b" \\ c\n') == '"a \\"b\\" \\\\ c\\n"'


def test_what_an_interruption_tore_apart_is_skipped(
    gdb: GdbMi, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def torn(fd: int, size: int) -> bytes:
        assert read(fd, size)
        monkeypatch.setattr(os, "read", read)
        # Kept is the beginning of a line, whose rest is lost with what follows.
        gdb._partial += b'~"half a line'
        raise KeyboardInterrupt

    gdb.batch(["-gdb-version"])
    monkeypatch.setattr(os, "read", torn)
    with pytest.raises(KeyboardInterrupt):
        gdb.console(["echo one"])
    assert [reply.text for reply in gdb.console(["echo two"])] == ["two"]


@contextmanager
def acting(folder: Path, script: str) -> Iterator[GdbMi]:
    """Run a gdb that does what a script of the shell says; `done` ends a command that was read."""
    acted = folder / "gdb"
    acted.write_text(f"""#!/bin/sh
is() {{ read command; printf '%s^%s\\n' "${{command%%-*}}" "$1"; }}
{script}
""")
    acted.chmod(0o755)
    gdb = GdbMi(str(acted))
    try:
        yield gdb
    finally:
        gdb.kill()


def interrupted_while_reading(gdb: GdbMi, monkeypatch: pytest.MonkeyPatch, word: bytes) -> None:
    """Have what is read next with this word in it be lost by an interruption."""
    read = os.read

    def torn(fd: int, size: int) -> bytes:
        data = read(fd, size)
        if word not in data:
            return data
        monkeypatch.setattr(os, "read", read)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "read", torn)


def test_a_target_runs_once_the_command_is_done(tmp_path: Path) -> None:
    """A gdb whose *running comes late, as it does when the machine is busy."""
    script = """
is running
read command; echo '*running,thread-id="all"'
echo '*stopped,reason="x"'; echo "${command%%-*}^done"
"""
    with acting(tmp_path, script) as gdb:
        gdb.batch(["-exec-continue"])
        assert gdb.running
        gdb.batch(["-exec-interrupt"])
        assert (gdb.running, gdb.stops) == (False, 1)


def test_a_target_is_asked_to_stop_until_it_does(tmp_path: Path) -> None:
    """As QEMU, which drops a request that comes while gdb looks at a condition."""
    script = """
is running; echo '*running,thread-id="all"'
is done; is done; is done; echo '*stopped,reason="signal-received"'
is done
"""
    with acting(tmp_path, script) as gdb:
        gdb.batch(["-exec-continue"])
        gdb.interrupt(60)
        assert (gdb.running, gdb.stops) == (False, 1)
        gdb.interrupt(60)  # it stands: nothing is sent
        assert gdb.batch(["-gdb-version"])[0].message == "done"


def test_that_a_target_runs_is_known_whatever_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
is running; echo '*running,thread-id="all"'
is done; is 'error,msg="Cannot execute this command while the target is running.\\nUse the"'
is done; echo '*stopped,reason="signal-received"'
"""
    with acting(tmp_path, script) as gdb:
        interrupted_while_reading(gdb, monkeypatch, b"running")
        with pytest.raises(KeyboardInterrupt):
            gdb.batch(["-exec-continue"])
        gdb.interrupt(60)
        assert (gdb.running, gdb.stops) == (False, 1)


def test_that_a_target_has_stopped_is_known_whatever_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
is running; echo '*running,thread-id="all"'; sleep 0.1
echo '*stopped,reason="breakpoint-hit",thread-id="2"'
is done; is 'done,thread-ids={thread-id="1",thread-id="2"},current-thread-id="2"'
is 'done,frame={addr="0x10"}'
"""
    with acting(tmp_path, script) as gdb:
        gdb.batch(["-exec-continue"])
        interrupted_while_reading(gdb, monkeypatch, b"stopped")
        with pytest.raises(KeyboardInterrupt):
            gdb.await_stop(0, 60)
        assert gdb.await_stop(0, 60)
        assert not gdb.running
        assert gdb.last_stop == {"thread-id": "2", "frame": {"addr": "0x10"}}


def test_what_a_target_does_after_it_was_asked_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ran when gdb was asked, and stopped before the answer was read."""
    script = """
is running; echo '*running,thread-id="all"'
is done; read command
running='error,msg="Cannot execute this command while the target is running."'
printf '%s^%s\\n*stopped,reason="breakpoint-hit"\\n' "${command%%-*}" "$running"
"""
    with acting(tmp_path, script) as gdb:
        interrupted_while_reading(gdb, monkeypatch, b"running")
        with pytest.raises(KeyboardInterrupt):
            gdb.batch(["-exec-continue"])
        assert gdb.await_stop(0, 60)
        assert not gdb.running
