"""The stub inside a debugger: whatever happens, the debugger finds it as it left it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.wire.inside_stub import InsideStub
from tests.wire.inside_link import OWN, PlayedLink

if TYPE_CHECKING:
    from collections.abc import Callable

USES: dict[str, Callable[[InsideStub], object]] = {
    "read": lambda stub: stub.read_physical(np.arange(300, dtype=np.uint64) << np.uint64(12), 64),
    "write": lambda stub: stub.write_physical([(0x1000, bytes(3000))]),
    "virtual": lambda stub: stub.read_virtual(0x1000, 8, 2),
    "registers": lambda stub: stub.registers(2),
    "step": lambda stub: stub.step(2, {"rip": 5}),
    "several": lambda stub: [stub.registers(2), stub.read_physical(u64(0), 8), stub.registers(1)],
}


@pytest.fixture
def link() -> PlayedLink:
    return PlayedLink()


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("mode", [0, 1])
def test_what_is_changed_at_the_stub_is_put_back(
    mode: int, use: Callable[[InsideStub], object]
) -> None:
    link = PlayedLink(mode)
    stub = InsideStub(link)
    with stub.held():
        use(stub)
    assert (link.mode, link.selected, link.announced) == (mode, OWN, None)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_interruption_at_any_packet_leaves_nothing_behind(
    use: Callable[[InsideStub], object], behind: bool
) -> None:
    for at in range(1000):
        link = PlayedLink()
        stub = InsideStub(link)
        link.interrupt_in, link.behind = at, behind
        try:
            with stub.held():
                use(stub)
        except KeyboardInterrupt:
            # It may have come while the block was left: then whoever catches it leaves again.
            stub.leave()
        assert (link.mode, link.selected, link.announced) == (0, OWN, None), at
        if link.interrupt_in > -1:
            break
    else:
        pytest.fail("it does not end")
    assert at > 1


def test_addresses_are_physical_while_it_reads_and_the_guard_is_told_before(
    link: PlayedLink,
) -> None:
    stub = InsideStub(link)
    link.packets.clear()
    stub.read_physical(u64(0x5000), 8)
    on, off = b"Qqemu.PhyMemMode:1", b"Qqemu.PhyMemMode:0"
    assert link.packets == [b"qqemu.PhyMemMode", on, b"m5000,8", off]


def test_several_reads_switch_once_where_that_is_asked_for(link: PlayedLink) -> None:
    stub = InsideStub(link)
    link.packets.clear()
    with stub.held(), stub.together():
        for address in (0, 0x1000, 0x2000):
            stub.read_physical(u64(address), 8)
    assert link.packets.count(b"Qqemu.PhyMemMode:1") == 1
    assert link.mode == 0


def test_a_mode_that_the_user_has_switched_on_stays_and_virtual_reads_are_virtual(
    link: PlayedLink,
) -> None:
    stub = InsideStub(link)
    link.mode = 1
    link.packets.clear()
    with stub.held():
        stub.read_physical(u64(0), 8)
        stub.read_virtual(0x1000, 8)
    memory = [one for one in link.packets if one.startswith((b"m", b"Q"))]
    assert memory == [b"m0,8", b"Qqemu.PhyMemMode:0", b"m1000,8", b"Qqemu.PhyMemMode:1"]


def test_only_what_changes_the_guest_makes_the_debugger_forget(link: PlayedLink) -> None:
    stub = InsideStub(link)
    with stub.held():
        stub.read_physical(u64(0), 8)
        stub.registers(2)
    assert link.forgotten == 0
    with stub.held():
        stub.step(1)
        stub.step(1)
    assert link.forgotten == 1


def test_what_was_read_is_stale_with_each_block(link: PlayedLink) -> None:
    stub = InsideStub(link)
    before = stub.generation
    with stub.held():
        assert stub.generation > before


def test_long_reads_are_cut_into_packets_and_rows_that_fail_are_invalid(link: PlayedLink) -> None:
    stub = InsideStub(link)
    link.packets.clear()
    data, valid = stub.read_physical(u64(0x1000, 1 << 60, 0x1000), 0x1000)
    assert valid.tolist() == [True, False, True]
    assert (data[0] == 0xAB).all()
    assert not data[1].any()
    # PacketSize=1000: so many hexadecimal digits; the address that is asked twice is read once.
    assert [one for one in link.packets if one.startswith(b"m")] == [b"m1000,800", b"m1800,800"]


def test_the_guest_is_not_let_run(link: PlayedLink) -> None:
    with pytest.raises(PtliveError, match="continue it there"):
        InsideStub(link).run_to(1, 0, 1)
