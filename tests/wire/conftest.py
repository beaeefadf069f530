"""One still guest for all tests of this folder that only read, or that restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.wire.gdb_stub import GdbStub
from ptlive.wire.inside_stub import InsideStub
from ptlive.wire.packet_stub import PacketStub
from ptlive.wire.preflight import hold, preflight
from ptlive.wire.raw import RawStub
from tests.qemu_process import Qemu, still_guest
from tests.wire.inside_link import RawLink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    with still_guest(tmp_path_factory.mktemp("guest"), stopped=True, vcpus=2) as qemu:
        yield qemu


@pytest.fixture(scope="module")
def packet_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    """Another one: a stub serves one client."""
    with still_guest(tmp_path_factory.mktemp("guest"), stopped=True, vcpus=2) as qemu:
        yield qemu


@pytest.fixture(scope="module")
def inside_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InsideStub]:
    with (
        still_guest(tmp_path_factory.mktemp("guest"), stopped=True, vcpus=2) as qemu,
        RawStub(hold(qemu.gdb)[1]) as raw,
    ):
        raw.ask(b"qSupported:multiprocess+;xmlRegisters=i386")
        stub = InsideStub(RawLink(raw))
        with stub.held():
            yield stub


@pytest.fixture(scope="module")
def packet_stub(packet_guest: Qemu) -> Iterator[PacketStub]:
    found, connection = hold(packet_guest.gdb)
    stub = PacketStub(connection, found.phy_mem_mode)
    yield stub
    stub.close(resume=False)


@pytest.fixture(scope="module")
def gdb_stub(guest: Qemu) -> Iterator[GdbStub]:
    stub = GdbStub()
    found = preflight(guest.gdb)
    stub.connect(found.gdb_target, found.phy_mem_mode)
    yield stub
    stub.close(resume=False)
