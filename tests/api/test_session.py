"""A scripted session with real guests: gdb and ptlive on one connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ptlive
from ptlive.guests import recipe
from ptlive.wire.qmp import Qmp
from tests.interruption import for_ever, interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

# guest/menu/tables.c: tables_load makes its tables the ones that are used.
FUNCTION = "tables_load"


def status(guest: Guest) -> str:
    with Qmp(guest.qmp) as qmp:
        told = qmp.command("query-status")
    assert isinstance(told, dict)
    return str(told["status"])


def kernel() -> Path:
    symbols = recipe("menu").prepare(lambda _: None).symbols
    assert symbols is not None
    return symbols


@contextmanager
def at_the_beginning() -> Iterator[Guest]:
    """The menu guest before its first instruction."""
    with ptlive.launch(kernel(), ready="now", extra=["-S"], cpus=2) as guest:
        yield guest


@pytest.fixture(scope="module")
def parked() -> Iterator[Guest]:
    """The menu guest, which spins; it runs."""
    with ptlive.launch("menu") as guest:
        yield guest


def test_break_finish_and_what_changed() -> None:
    with at_the_beginning() as guest, ptlive.Session(guest.gdb) as session:
        assert session.load(kernel()) == 0
        point = session.breakpoint(FUNCTION)
        stop = session.continue_(timeout=60)
        assert (stop.reason, stop.breakpoint, stop.vcpu) == ("breakpoint", point.number, 1)
        assert stop.function == FUNCTION
        assert stop.rip == session.symbol(FUNCTION) == session.evaluate("$rip") == point.va
        assert session.name_of(stop.rip + 3) == f"{FUNCTION}+3"
        assert session.name_of(0x5000_0000) is None
        space = session.space()
        root, before = space.root, space.freeze()
        session.delete(point)
        stop = session.finish()
        assert (stop.reason, stop.function, stop.breakpoint) == ("finished", "start", None)
        assert session.space().root != root
        with pytest.raises(ptlive.PtliveError, match="the guest has run on"):
            space.translate(stop.rip)
        changes = before.diff(session.space())
        # guest/menu/chapters: pages for user mode, of which the boot tables have none.
        assert any(one.after and one.after.rights.allows("user") for one in changes)
        assert session.stepi().reason == "step"
        stop = session.until("tables_restore")
        assert (stop.reason, stop.function) == ("reached", "tables_restore")


def test_gdb_and_packets_never_mislead_each_other() -> None:
    """Two vCPUs: registers by packets, which select threads past gdb, and by gdb, in any order."""
    with at_the_beginning() as guest, ptlive.Session(guest.gdb) as session:
        for vcpu, value in ((1, 0x1111), (2, 0x2222)):
            session.write_registers({"rbx": value, "rcx": value + 1}, vcpu)
        for vcpu in (1, 2, 2, 1, 2, 1):
            session.select(vcpu)
            assert session.evaluate("$rbx") == 0x1111 * vcpu
            assert session.registers(3 - vcpu)["rbx"] == 0x1111 * (3 - vcpu)
            assert session.evaluate("$rcx") == 0x1111 * vcpu + 1
            session.gdb(f"set $rdx = {vcpu}")
            assert session.registers(vcpu)["rdx"] == vcpu
        assert session.registers(1)["rdx"] == 1
        assert session.vcpu == 1
        with pytest.raises(ptlive.PtliveError, match="no vCPU 3"):
            session.select(3)


def test_what_is_written_is_read_by_every_way(parked: Guest) -> None:
    with ptlive.Session(parked.gdb, memory="gdb") as session:
        assert session.guest.memory_source == "gdb"
        rsp = session.evaluate("$rsp") & ~7
        pa = session.space().translate(rsp).pa
        assert pa is not None
        old = session.read(rsp, 16)
        for number in range(1, 5):
            data, assignment = number.to_bytes(8, "little"), f"*(long *) {rsp:#x} = {number}"
            if number == 1:
                session.write(rsp, data)
            elif number == 2:
                session.write_physical(pa, data)
            elif number == 3:
                session.gdb(f"set var {assignment}")
            else:
                session.evaluate(assignment)
            assert session.read(rsp, 8) == number.to_bytes(8, "little")
            assert session.read_physical(pa, 8)[0] == number
            assert session.evaluate(f"*(long *) {rsp:#x}") == number
        session.write(rsp, old)
        with pytest.raises(ptlive.PtliveError, match="is not mapped"):
            session.write(0x7FFF_0000_0000, b"x")
        with pytest.raises(ptlive.PtliveError, match="not RAM"):
            session.write_physical(0xFEE0_0000, b"x")


@pytest.mark.parametrize("memory", ["auto", "gdb"])
def test_at_each_stop_the_tables_are_those_of_the_stop(parked: Guest, memory: str) -> None:
    with ptlive.Session(parked.gdb, memory=memory) as session:
        here = session.evaluate("$rip")
        session.breakpoint(here, hardware=True)
        for _ in range(3):
            stop = session.continue_(timeout=30)
            assert stop.rip == here
            found = session.space().translate(here)
            assert found.path[-1].entry == int.from_bytes(
                session.read_physical(found.path[-1].entry_pa, 8), "little"
            )
        assert session.space().verify(addresses=[here]).ok


def test_conditions_watchpoints_and_temporary_ones() -> None:
    with at_the_beginning() as guest, ptlive.Session(guest.gdb) as session:
        session.load(kernel())
        session.breakpoint("tables_put", condition="$rsi == 2", temporary=True)
        stop = session.continue_(timeout=60)
        assert stop.function == "tables_put"
        assert session.evaluate("$rsi") == 2
        session.delete()
        point = session.watchpoint(session.symbol("used"), length=4)
        before = session.evaluate("used")
        stop = session.continue_(timeout=60)
        assert (stop.reason, stop.breakpoint) == ("watchpoint", point.number)
        assert session.evaluate("used") > before
        with pytest.raises(ptlive.PtliveError, match="1, 2, 4 or 8 bytes"):
            session.watchpoint(0, length=3)


def test_time_that_is_over_stops_the_guest_and_is_told(parked: Guest) -> None:
    with ptlive.Session(parked.gdb) as session:
        with pytest.raises(ptlive.PtliveError, match=r"nothing stopped the guest within 0.2 s; it"):
            session.continue_(timeout=0.2)
        session.resume()
        for refused in (lambda: session.evaluate("1"), session.space, lambda: session.guest):
            with pytest.raises(ptlive.PtliveError, match="the guest runs"):
                refused()
        assert session.wait(0.1) is None
        assert session.interrupt().reason == "interrupted"
        with pytest.raises(ptlive.PtliveError, match="not resumed"):
            session.wait(0.1)
        session.resume()  # and so it is left
    assert status(parked) == "running"


def test_what_gdb_refuses_is_a_sentence(parked: Guest) -> None:
    with ptlive.Session(parked.gdb) as session:
        for refused, why in (
            (lambda: session.breakpoint("nothing"), "No symbol table"),
            (lambda: session.evaluate("nothing"), "gdb: No symbol"),
            (lambda: session.evaluate("*(long *) 0x123456789000"), "Cannot access memory"),
            (lambda: session.gdb("x" * 5000), "too much for gdb"),
            (lambda: session.load("/nowhere"), "cannot read /nowhere"),
            (lambda: session.monitor("info mem"), "may hang QEMU"),
        ):
            with pytest.raises(ptlive.PtliveError, match=why) as told:
                refused()
            assert "\n" not in str(told.value)
        assert session.evaluate("2 + 3") == 5
        assert session.evaluate("-1") == (1 << 64) - 1


def test_ctrl_c_stops_the_guest_and_the_session_goes_on(parked: Guest) -> None:
    with ptlive.Session(parked.gdb) as session:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            session.continue_()
        timer.join()
        assert not session.running
        assert session.evaluate("$rip") == session.registers()["rip"]
    assert status(parked) == "running"


def test_a_guest_stops_whose_breakpoint_is_hit_all_the_time(parked: Guest) -> None:
    """QEMU drops what asks it to stop while gdb looks at the condition of a breakpoint."""
    with ptlive.Session(parked.gdb) as session:
        session.breakpoint(session.evaluate("$rip"), condition="$rsp == 0")
        for _ in range(3):
            with pytest.raises(ptlive.PtliveError, match="nothing stopped the guest within"):
                session.continue_(timeout=0.2)


def test_ctrl_c_while_gdb_lets_the_guest_run_loses_nothing(parked: Guest) -> None:
    def run_and_stop() -> None:
        session.resume()
        session.interrupt()

    with ptlive.Session(parked.gdb) as session:
        for delay in (0.0, 0.001, 0.002, 0.005, 0.01):
            interrupt(delay, lambda: for_ever(session.stepi))
            assert not session.running
            interrupt(delay, lambda: for_ever(run_and_stop))
            session.interrupt()
            assert session.evaluate("$rip") == session.registers()["rip"]
    assert status(parked) == "running"


def test_that_it_has_stopped_is_seen_without_waiting(parked: Guest) -> None:
    with ptlive.Session(parked.gdb) as session:
        session.breakpoint(session.evaluate("$rip"))
        session.resume()
        deadline = time.monotonic() + 60
        while session.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert session.evaluate("$rip") == session.registers()["rip"]
        stop = session.wait(60)
        assert stop is not None
        assert stop.reason == "breakpoint"


def test_it_works_in_another_thread(parked: Guest) -> None:
    found: list[str] = []

    def work() -> None:
        with ptlive.Session(parked.gdb) as session:
            found.append(session.space().format)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(found) == 1


def test_a_guest_that_was_stopped_is_left_stopped(parked: Guest) -> None:
    with Qmp(parked.qmp) as qmp:
        qmp.command("stop")
    with ptlive.Session(parked.gdb) as session:
        session.breakpoint(session.evaluate("$rip"))
        session.stepi()
    assert status(parked) in ("paused", "debug")
    with Qmp(parked.qmp) as qmp:
        qmp.command("cont")


def test_gdb_that_is_killed_is_told_and_the_guest_given_back(parked: Guest) -> None:
    def script() -> None:
        with ptlive.Session(parked.gdb) as session:
            session.breakpoint(0x1000, hardware=True)
            threading.Timer(0.3, os.kill, (session.gdb_pid, signal.SIGKILL)).start()
            session.continue_(timeout=30)

    with pytest.raises(ptlive.PtliveError, match="gdb ended unexpectedly"):
        script()
    assert status(parked) == "running"
    with ptlive.attach(parked.gdb) as guest:  # and the stub reads virtual addresses again
        assert guest.space().translate(guest.vcpus[0].rip)


def test_a_script_that_is_killed_leaves_the_guest_as_it_was(parked: Guest) -> None:
    code = (
        f"import os, ptlive\n"
        f"with ptlive.Session({parked.gdb!r}) as session:\n"
        f"    session.breakpoint(session.evaluate('$rip'))\n"
        f"    session.continue_(timeout=30)\n"
        f"    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while status(parked) != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with ptlive.attach(parked.gdb) as guest:
        assert guest.space().translate(guest.vcpus[0].rip)


def test_a_guest_that_ends_while_it_runs_is_told() -> None:
    def script(guest: Guest) -> None:
        with ptlive.Session(guest.gdb) as session:
            threading.Timer(0.3, os.kill, (guest.pid, signal.SIGKILL)).start()
            session.continue_(timeout=60)

    with (
        ptlive.launch("menu") as guest,
        pytest.raises(ptlive.PtliveError, match="QEMU closed the connection"),
    ):
        script(guest)


def test_a_guest_that_ends_at_a_stop_is_told() -> None:
    def script(guest: Guest) -> None:
        with ptlive.Session(guest.gdb) as session:
            os.kill(guest.pid, signal.SIGKILL)
            for ask in (lambda: session.monitor("info version"), session.space, session.stepi):
                with pytest.raises(ptlive.PtliveError, match="the guest is gone"):
                    ask()

    with (
        ptlive.launch("menu") as guest,
        pytest.raises(ptlive.PtliveError, match="could not be put back"),
    ):
        script(guest)


def test_a_session_is_opened_once(parked: Guest) -> None:
    session = ptlive.Session(parked.gdb)
    assert "not begun" in repr(session)
    with pytest.raises(ptlive.PtliveError, match="begins with its `with` block"):
        session.evaluate("1")
    with session:
        space = session.space()
        assert "1 vCPU" in repr(session)
    assert "ended" in repr(session)
    for late in (lambda: space.translate(0), session.space, lambda: session.evaluate("1")):
        with pytest.raises(ptlive.PtliveError, match="the session has ended"):
            late()
    with pytest.raises(ptlive.PtliveError, match="opened before"):
        session.__enter__()


def test_which_gdb_is_started_may_be_said(
    menu_guest_5: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTLIVE_GDB", "no-such-gdb")
    for session, why in (
        (ptlive.Session(menu_guest_5.gdb), "no-such-gdb is not installed"),
        (ptlive.Session(menu_guest_5.gdb, program="neither-this"), "neither-this is not installed"),
    ):
        with pytest.raises(ptlive.PtliveError, match=why), session:
            pass
    with ptlive.Session(menu_guest_5.gdb, program="gdb") as session:
        assert session.evaluate("$rip")


def test_places_are_addresses(menu_guest_5: Guest) -> None:
    with ptlive.Session(menu_guest_5.gdb) as session:
        place: Any = np.uint64(0x200000)
        assert session.breakpoint(place).va == 0x200000
        for question in (
            session.breakpoint,
            session.watchpoint,
            session.name_of,
            lambda va: session.write(va, b"x"),
            lambda pa: session.write_physical(pa, b"x"),
        ):
            wrong: Any
            for wrong in (-1, 1 << 64, 1.5):
                with pytest.raises(ptlive.PtliveError, match=r"is from 0 to|is an integer"):
                    question(wrong)
