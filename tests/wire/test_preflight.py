"""The first conversation: who listens, and what its guest was doing."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.wire import preflight as module
from ptlive.wire.address import StubAddress
from ptlive.wire.holder import is_held
from ptlive.wire.packet import frame
from ptlive.wire.preflight import preflight
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from pathlib import Path

STOPPED = frame(b"T02thread:p01.01;")


@pytest.mark.parametrize(
    ("greeting", "version", "status", "was_running"),
    [
        (STOPPED, "7.2.22Debian", "paused", True),
        (b"", "7.2.22Debian", "paused", False),
        (b"", "8.0.5", "paused", False),
        (b"", "8.1.0", "paused", None),
        (b"", "10.0.2 (Debian)", "paused (prelaunch)", False),
        (STOPPED, "10.0.2", "paused", True),
        (b"", "", "paused", None),
    ],
)
def test_learns_whether_the_guest_ran(
    tmp_path: Path, greeting: bytes, version: str, status: str, was_running: bool | None
) -> None:
    stub = FakeStub(tmp_path / "s", greeting=greeting, version=version, status=status)
    with closing(stub):
        found = preflight(stub.address)
    assert found.was_running is was_running
    assert found.version == version.replace("22Deb", "22 Deb")
    assert found.phy_mem_mode == 0
    assert found.gdb_target == str(stub.path)
    assert not any(payload.startswith((b"Q", b"D")) for payload in stub.seen)


def test_tells_which_process_listens(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s")) as stub:
        assert preflight(stub.address).pid == os.getpid()


def test_leaves_phy_mem_mode_off_and_tells_what_it_was(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s", phy_mem_mode="1")) as stub:
        assert preflight(stub.address).phy_mem_mode == 1
        assert stub.phy_mem_mode == "0"


def test_damaged_replies_are_asked_for_again(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s", damage=2)) as stub:
        assert preflight(stub.address).version == "7.2.22 Debian"


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ({"phy_mem_mode": ""}, r"stub without PhyMemMode \(needs QEMU's system emulator 4.1"),
        ({"greeting": b"220 mail.example.org ESMTP\r\n"}, "is no gdb stub: the byte 0x32"),
        ({"greeting": b"$" + b"x" * (1 << 17)}, "is no gdb stub: a packet is too long"),
        ({"hang_up_at": b"qqemu"}, "is no gdb stub: the connection was closed"),
        ({"hang_up_at": b"qRcmd"}, "is no gdb stub: the connection was closed"),
        ({"damage": 1000}, "is no gdb stub: every packet arrives damaged"),
        ({"silent": True}, "answers nothing: another client holds the stub, or it is no gdb stub"),
        ({"dripping": True}, "answers nothing"),
        ({"version": "7" * (1 << 21)}, "is no gdb stub: the monitor's output does not end"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, behaviour: dict[str, str], sentence: str) -> None:
    stub = FakeStub(tmp_path / "s", **behaviour)  # type: ignore[arg-type]  # several fields
    with closing(stub), pytest.raises(PtliveError, match=sentence) as raised:
        preflight(stub.address, patience=0.3)
    assert stub.address in str(raised.value)
    assert "\n" not in str(raised.value)


def test_lets_a_guest_run_again_whose_stub_is_of_no_use(tmp_path: Path) -> None:
    stub = FakeStub(tmp_path / "s", phy_mem_mode="", greeting=STOPPED)
    with closing(stub), pytest.raises(PtliveError, match="PhyMemMode"):
        preflight(stub.address)
    assert stub.seen[-1] == b"D;1"


def test_a_first_client_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDOVER", 0.1)
    with closing(FakeStub(tmp_path / "s")) as stub:
        place = StubAddress.parse(stub.address)
        assert not is_held(place)
        with place.connect(1):
            assert is_held(place)
            with pytest.raises(PtliveError, match="another client holds the stub at unix:"):
                preflight(stub.address)
        preflight(stub.address)
    # Nobody but the one preflight that was let in has spoken to the stub.
    assert stub.seen[0] == b"qqemu.PhyMemMode"
    assert len(stub.seen) == 4


def test_waits_for_the_client_before_to_be_gone(tmp_path: Path) -> None:
    with closing(FakeStub(tmp_path / "s")) as stub:
        before = StubAddress.parse(stub.address).connect(1)
        threading.Timer(0.2, before.close).start()
        preflight(stub.address)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_tcp_client_is_seen(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server(("::1" if ":" in host else "127.0.0.1", 0), family=family) as server:
        port = server.getsockname()[1]
        place = StubAddress.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        assert not is_held(place)
        with place.connect(1):
            assert is_held(place)
            assert not is_held(StubAddress.parse(f"127.0.0.2:{port}"))


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"unix:{tmp_path}/none"):
        with pytest.raises(PtliveError, match=f"nothing listens on {address}"):
            preflight(address)


def test_a_full_queue_is_no_stub(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(0)
        waiting = StubAddress.parse(f"unix:{tmp_path}/s").connect(1)
        started = time.monotonic()
        with waiting, pytest.raises(PtliveError, match="does not accept a connection"):
            StubAddress.parse(f"unix:{tmp_path}/s").connect(0.2)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("localhost:1234", "localhost", 1234), (":99", "127.0.0.1", 99), ("[::1]:7", "::1", 7)],
)
def test_reads_a_tcp_address(text: str, host: str, port: int) -> None:
    place = StubAddress.parse(text)
    assert (place.host, place.port, place.path) == (host, port, None)


@pytest.mark.parametrize("text", ["", "1234", "host:", "host:0", "host:65536", "host:x", "unix:"])
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(PtliveError, match="HOST:PORT or unix:PATH is expected"):
        StubAddress.parse(text)
