"""The guard of a debugger that ptlive is in: it acts if that is killed at a bad moment only."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.target.guard import Watch
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What is asked to learn where the answers to the client before end.
TAKING_OVER = b"qXfer:features:read:target.xml:0,6"
_PARENT = """
import sys, time
from ptlive.target.guard import Watch
watch = Watch(sys.argv[1])
{}
print("done", watch._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[FakeStub]:
    with closing(FakeStub(tmp_path / "s")) as made:
        yield made


def killed_after(stub: FakeStub, actions: str) -> list[bytes]:
    """Return what the stub is asked when a process is killed that has done this."""
    program = [sys.executable, "-c", _PARENT.format(actions), stub.address]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[1])
        parent.kill()
    deadline = time.monotonic() + 20
    while _lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return stub.seen


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("mode", [0, 1])
def test_addresses_mean_again_what_they_meant(stub: FakeStub, mode: int) -> None:
    asked = killed_after(stub, f"watch.announce({mode})")
    assert asked == [TAKING_OVER, b"Qqemu.PhyMemMode:%d" % mode, b"?"]


def test_the_journal_is_undone_and_the_guest_stays_stopped(stub: FakeStub) -> None:
    asked = killed_after(stub, 'watch.send("memory 1000 6162")')
    assert asked[1:] == [
        b"Qqemu.PhyMemMode:1",
        b"M1000,2:6162",
        b"Qqemu.PhyMemMode:0",
        b"?",
    ]


@pytest.mark.parametrize(
    "actions",
    [
        "watch.announce(0); watch.announce(None)",
        'watch.send("memory 1000 6162"); watch.send("keep 0")',
    ],
)
def test_a_stub_that_is_as_it_was_is_left_alone(stub: FakeStub, actions: str) -> None:
    # Connecting would stop the guest, which another debugger may have by now.
    assert killed_after(stub, actions) == []


def test_it_ends_with_the_connection(stub: FakeStub) -> None:
    watch = Watch(stub.address)
    watch.announce(0)
    watch.close()
    assert stub.seen == []


def test_it_is_told_where_no_python_is_found(
    stub: FakeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptlive.target.guard._python", lambda: "/nowhere/python")
    with pytest.raises(PtliveError, match="guards the guest's state does not start: No such"):
        Watch(stub.address).announce(0)
