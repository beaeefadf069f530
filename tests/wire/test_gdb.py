"""The gdb driver alone, on a gdb without a target."""

from __future__ import annotations

import os
import time
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


def test_a_target_runs_once_the_command_is_done(tmp_path: Path) -> None:
    """A gdb whose *running comes late, as it does when the machine is busy."""
    slow = tmp_path / "gdb"
    slow.write_text("""#!/bin/sh
read command; echo "${command%%-*}^running"
read command; echo '*running,thread-id="all"'
echo '*stopped,reason="x"'; echo "${command%%-*}^done"
""")
    slow.chmod(0o755)
    gdb = GdbMi(str(slow))
    try:
        gdb.batch(["-exec-continue"])
        assert gdb.running
        gdb.batch(["-exec-interrupt"])
        assert (gdb.running, gdb.stops) == (False, 1)
    finally:
        gdb.kill()
