"""Two clients at one stub: whose turn it is, what is refused, and who dies when."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.wire.address import StubAddress
from ptlive.wire.holder import is_held
from ptlive.wire.packet import frame
from ptlive.wire.preflight import preflight
from tests.wire.proxied import SharedStub, Speaker, a_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.wire.proxied import RunningProxy

SHORT = 0.4


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[SharedStub]:
    with closing(SharedStub(tmp_path / "s")) as made:
        yield made


@pytest.fixture
def proxy(stub: SharedStub, tmp_path: Path) -> Iterator[RunningProxy]:
    with a_proxy(stub.address, tmp_path) as started:
        yield started


@pytest.fixture
def debugger(proxy: RunningProxy) -> Iterator[Speaker]:
    with closing(Speaker(proxy.debugger)) as speaker:
        assert speaker.ask(b"qSupported:multiprocess+") == b""
        yield speaker


@contextmanager
def a_ptlive(proxy: RunningProxy) -> Iterator[Speaker]:
    with closing(Speaker(proxy.ptlive)) as speaker:
        yield speaker


def until(stub: SharedStub, payload: bytes, seconds: float = 6.0) -> float:
    """Wait for a packet to reach the stub; return how long that took."""
    begun = time.monotonic()
    while payload not in stub.seen:
        assert time.monotonic() < begun + seconds, stub.seen
        time.sleep(0.01)
    return time.monotonic() - begun


def until_let_go(stub: SharedStub) -> None:
    deadline = time.monotonic() + 5
    while is_held(StubAddress.parse(stub.address)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def virtual(speaker: Speaker) -> bytes:
    return bytes.fromhex(speaker.ask(b"m0,4").decode())


def test_nobody_touches_the_stub_until_a_client_comes(
    stub: SharedStub, proxy: RunningProxy
) -> None:
    time.sleep(SHORT)
    assert stub.seen == []
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"qC") == b"QCp01.01"


def test_each_finds_the_stub_as_it_has_set_it(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    assert debugger.ask(b"Hgp01.02") == b"OK"
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"Qqemu.PhyMemMode:1") == b"OK"
        for number in range(3):
            assert ptlive.ask(b"Hgp01.0%d" % (number + 3)) == b"OK"
            assert virtual(ptlive) == b"pppp"
            assert virtual(debugger) == b"vvvv"
            assert bytes.fromhex(debugger.ask(b"g").decode()) == b"p01.02"
            assert bytes.fromhex(ptlive.ask(b"g").decode()) == b"p01.0%d" % (number + 3)
            assert ptlive.ask(b"qRcmd," + b"cpu 1".hex().encode()) == b"OK"
            debugger.ask(b"T1")
            assert stub.cpu == b"0"
    until(stub, b"Qqemu.PhyMemMode:0")
    assert debugger.ask(b"T1") == b""
    assert (stub.phy_mem_mode, stub.selected, stub.cpu) == ("0", b"p01.02", b"0")


def test_many_in_flight_come_back_in_order(proxy: RunningProxy, debugger: Speaker) -> None:
    sizes = [*range(1, 200), 2048, 1, 2048] * 2
    with a_ptlive(proxy) as ptlive:
        ptlive.send(b"Qqemu.PhyMemMode:1", *(b"m0,%x" % size for size in sizes), b"g")
        assert debugger.ask(b"m0,2") == b"7676"
        assert ptlive.receive() == b"OK"
        assert [len(ptlive.receive()) for _ in sizes] == [2 * size for size in sizes]
        assert bytes.fromhex(ptlive.receive().decode()) == b"p01.01"


def test_a_list_of_threads_is_one_exchange(proxy: RunningProxy, debugger: Speaker) -> None:
    with a_ptlive(proxy) as ptlive:
        assert debugger.ask(b"qfThreadInfo") == b"mp01.01"
        ptlive.send(b"qfThreadInfo")
        assert debugger.ask(b"qsThreadInfo") == b"mp01.02"
        assert debugger.ask(b"qsThreadInfo") == b"mp01.03"
        assert debugger.ask(b"qsThreadInfo") == b"l"
        assert ptlive.receive() == b"mp01.01"
        # Who does not go on loses its place, but nobody hangs.
        debugger.send(b"qfThreadInfo")
        assert debugger.receive() == b"mp01.01"


def test_what_ptlive_could_not_take_back_never_reaches_the_stub(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        for payload in (b"vCont;c", b"c", b"k", b"Z1,1000,1", b"vCont;s:p1.-1", b"vCont;s:1;c"):
            assert ptlive.ask(payload).startswith(b"E.only the debugger"), payload
        assert ptlive.ask(b"?") == b"T05thread:p01.01;"
        assert ptlive.ask(b"D;1") == b"OK"
        assert ptlive.ask(b"QStartNoAckMode") == b""
        assert ptlive.ask(b"vCont;s:p1.1") == b"T05thread:p01.01;"
        assert ptlive.ask(b"?") == b"T05thread:p01.01;"
    seen = [one for one in stub.seen if one[:1] in b"vcZ?Dk"]
    assert seen == [b"vCont;s:p1.1"]
    assert debugger.ask(b"?") == b"T05thread:p01.01;"


def test_no_step_onto_the_breakpoints_of_the_debugger(
    proxy: RunningProxy, debugger: Speaker
) -> None:
    assert debugger.ask(b"Z0,1000,1") == b"OK"
    with a_ptlive(proxy) as ptlive:
        assert b"always-inserted" in ptlive.ask(b"vCont;s:p1.1")
    assert debugger.ask(b"z0,1000,1") == b"OK"
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"vCont;s:p1.1") == b"T05thread:p01.01;"


def test_the_guest_goes_on_when_ptlive_has_ended(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert virtual(ptlive) == b"vvvv"
        debugger.send(b"vCont;c")
        assert debugger.silent(SHORT)
        assert debugger.acks > 1, "it would send its packet again"
        assert virtual(ptlive) == b"vvvv"
        assert b"vCont;c" not in stub.seen
    until(stub, b"vCont;c", 1)
    debugger.socket.sendall(b"\x03")
    assert debugger.receive() == b"T02thread:p01.01;"


def test_an_interrupt_takes_back_what_waits(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert virtual(ptlive) == b"vvvv"
        debugger.send(b"vCont;c")
        debugger.socket.sendall(b"\x03")
        assert debugger.receive() == b"T02thread:p01.01;"
    assert virtual(debugger) == b"vvvv"
    assert b"vCont;c" not in stub.seen


def test_the_debugger_waits_three_seconds_and_no_longer(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"Qqemu.PhyMemMode:1") == b"OK"
        debugger.send(b"M0,1:00")
        assert 2.5 < until(stub, b"M0,1:00") < 4
        assert debugger.receive() == b"OK"
        assert ptlive.receive() == b"<gone>"
    assert stub.phy_mem_mode == "0"
    assert "cut off" in proxy.said()


def test_a_ptlive_that_does_not_read_is_cut_off(proxy: RunningProxy, debugger: Speaker) -> None:
    with a_ptlive(proxy) as ptlive:
        ptlive.send(*[b"m0,800"] * 900)
        time.sleep(SHORT)
        ptlive.send(*[b"m0,800"] * 900)
        time.sleep(SHORT)
        begun = time.monotonic()
        assert virtual(debugger) == b"vvvv"
        assert time.monotonic() < begun + 9
        assert virtual(debugger) == b"vvvv"


def test_what_ptlive_has_changed_nobody_sees(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"P1=00") == b"OK"
        debugger.send(b"m0,4")
        assert debugger.silent(SHORT)
        # All is put back: it says so before it ends.
        assert ptlive.ask(b"?").startswith(b"T05")
        assert debugger.receive() == b"v".hex().encode() * 4


def test_the_guard_of_a_killed_ptlive_comes_first(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"P1=00") == b"OK"
        debugger.send(b"vCont;c")
    with a_ptlive(proxy) as guard:
        assert guard.ask(b"P1=11") == b"OK"
        assert b"vCont;c" not in stub.seen
        assert guard.ask(b"?").startswith(b"T05")
    until(stub, b"vCont;c", 1)
    assert stub.seen.index(b"P1=11") < stub.seen.index(b"vCont;c")
    assert "nobody" not in proxy.said()


@pytest.mark.long
def test_a_guard_that_never_comes_is_told_of(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    with a_ptlive(proxy) as ptlive:
        assert ptlive.ask(b"M0,1:00") == b"OK"
    # Before it gives up, which would make it take a late reply for another's.
    begun = time.monotonic()
    assert debugger.ask(b"m0,4").startswith(b"E.what ptlive has changed")
    assert time.monotonic() < begun + 6
    debugger.send(b"vCont;c")
    until(stub, b"vCont;c", 8)
    assert 9 < time.monotonic() - begun < 12
    assert "nobody has put back" in proxy.said()
    assert b"m0,4" not in stub.seen


def test_ptlive_is_told_that_the_guest_runs(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    debugger.send(b"vCont;c")
    until(stub, b"vCont;c")
    with pytest.raises(PtliveError, match="interrupt it there first"):
        preflight(proxy.ptlive)
    assert stub.running
    assert debugger.silent(SHORT)
    debugger.socket.sendall(b"\x03")
    assert debugger.receive() == b"T02thread:p01.01;"
    assert preflight(proxy.ptlive).was_running is False


def test_a_short_run_is_waited_for(
    stub: SharedStub, proxy: RunningProxy, debugger: Speaker
) -> None:
    debugger.send(b"vCont;c")
    until(stub, b"vCont;c")
    with a_ptlive(proxy) as ptlive:
        ptlive.send(b"m0,4")
        assert ptlive.silent(SHORT)
        debugger.socket.sendall(b"\x03")
        assert debugger.receive().startswith(b"T02")
        assert ptlive.receive() == b"v".hex().encode() * 4


def test_tells_where_qemu_is(stub: SharedStub, proxy: RunningProxy) -> None:
    found = preflight(proxy.ptlive)
    assert found.stub == stub.address
    assert found.pid == preflight(stub.address).pid
    assert preflight(stub.address).stub is None


@pytest.mark.parametrize("mode", ["0", "1"])
def test_alone_ptlive_finds_and_leaves_the_guest_as_directly(tmp_path: Path, mode: str) -> None:
    greeting = frame(b"T02thread:p01.01;")
    stub = SharedStub(tmp_path / "s", phy_mem_mode=mode, greeting=greeting)
    with closing(stub), a_proxy(stub.address, tmp_path) as proxy:
        found = preflight(proxy.ptlive)
        assert (found.was_running, found.phy_mem_mode) == (True, int(mode))
        until_let_go(stub)
        with a_ptlive(proxy) as ptlive:
            assert ptlive.receive() == b"T02thread:p01.01;"
            assert ptlive.ask(b"Qqemu.PhyMemMode:1") == b"OK"
        until_let_go(stub)
        assert (stub.phy_mem_mode, b"D;1" in stub.seen) == (mode, False)
        with a_ptlive(proxy) as ptlive:
            assert ptlive.receive() == b"T02thread:p01.01;"
            assert ptlive.ask(b"D;1") == b"OK"
            assert ptlive.receive() == b"<gone>"
        until(stub, b"D;1")


def test_the_guest_of_a_debugger_that_goes_runs_or_not_as_it_was(
    stub: SharedStub, proxy: RunningProxy
) -> None:
    with closing(Speaker(proxy.debugger)) as debugger:
        debugger.send(b"vCont;c")
        until(stub, b"vCont;c")
    until_let_go(stub)
    assert stub.running
    with closing(Speaker(proxy.debugger)) as debugger:
        assert virtual(debugger) == b"vvvv"
        assert debugger.ask(b"D;1") == b"OK"
        assert debugger.receive() == b"<gone>"
    assert stub.seen.count(b"D;1") == 1
    assert stub.seen.count(b"qC") == 2, "one connection each"


def test_qemu_dies_and_another_one_comes(tmp_path: Path) -> None:
    stub = SharedStub(tmp_path / "s", hang_up_at=b"k")
    with closing(stub), a_proxy(stub.address, tmp_path) as proxy:
        with closing(Speaker(proxy.debugger)) as debugger, a_ptlive(proxy) as ptlive:
            assert virtual(debugger) == b"vvvv"
            assert ptlive.ask(b"qC") == b"QCp01.01"
            ptlive.close()
            debugger.send(b"k")
            assert debugger.receive() == b"<gone>"
        with a_ptlive(proxy) as ptlive:
            assert virtual(ptlive) == b"vvvv"
        assert "the guest is gone" in proxy.said()


def test_says_that_nothing_listens(tmp_path: Path) -> None:
    with a_proxy(f"unix:{tmp_path}/none", tmp_path) as proxy:
        for _ in range(2):
            with pytest.raises(PtliveError, match="nothing listens on"):
                preflight(proxy.ptlive)
        with closing(Speaker(proxy.debugger)) as debugger:
            assert debugger.ask(b"?").startswith(b"E.nothing listens on")
            assert debugger.receive() == b"<gone>"


def test_hostile_clients_are_dropped(stub: SharedStub, proxy: RunningProxy) -> None:
    with closing(Speaker(proxy.debugger)) as debugger:
        debugger.socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert debugger.silent(SHORT)
        debugger.socket.sendall(b"$m0,4#00")
        assert debugger.ask(b"m0,4") == b"v".hex().encode() * 4
        with pytest.raises(ConnectionError):
            debugger.socket.sendall(b"$" + b"x" * (1 << 24))
    with closing(Speaker(proxy.debugger)) as debugger:
        debugger.send(*[b"m0,4"] * 5000)
        assert [debugger.receive() for _ in range(5000)] == [b"v".hex().encode() * 4] * 5000
