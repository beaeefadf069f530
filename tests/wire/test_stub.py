"""The contract that every stub keeps, whatever carries its packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from tests.qemu_process import RAM_BYTES
from tests.wire.memory_stub import MemoryStub

if TYPE_CHECKING:
    from ptlive.wire.stub import Stub

CODE = 0x7000
DATA = 0x9000
NOP = b"\x90"


@pytest.fixture(
    params=[
        "arrays",
        pytest.param("gdb", marks=pytest.mark.qemu),
        pytest.param("packets", marks=pytest.mark.qemu),
        pytest.param("inside", marks=pytest.mark.qemu),
    ]
)
def stub(request: pytest.FixtureRequest) -> Stub:
    if request.param != "arrays":
        held: Stub = request.getfixturevalue(f"{request.param.removesuffix('s')}_stub")
        return held
    return MemoryStub(np.zeros(RAM_BYTES, np.uint8), vcpus=2)


def one(stub: Stub, address: int, length: int) -> bytes:
    data, valid = stub.read_physical(u64(address), length)
    assert valid.all()
    return data.tobytes()


def test_reads_back_what_it_wrote(stub: Stub) -> None:
    long = bytes(range(256)) * 20
    stub.write_physical([(DATA, long), (DATA + 100, b"later wins"), (DATA - 1, b"!")])
    expected = b"!" + long[:100] + b"later wins" + long[110:]
    assert one(stub, DATA - 1, len(expected)) == expected


def test_reads_rows_in_the_order_asked(stub: Stub) -> None:
    stub.write_physical([(DATA, bytes(range(64)))])
    addresses = u64(DATA + 8, DATA, DATA + 8, DATA + 3, DATA + 16)
    data, valid = stub.read_physical(addresses, 8)
    assert valid.all()
    assert data.dtype == np.uint8
    assert data[:, 0].tolist() == [8, 0, 8, 3, 16]
    assert data.shape == (5, 8)


def test_reads_whole_frames_in_bulk(stub: Stub) -> None:
    frames = np.arange(256, dtype=np.uint64) * np.uint64(8192) + np.uint64(0x200000)
    stub.write_physical([(int(frame), int(frame).to_bytes(8, "little")) for frame in frames])
    data, valid = stub.read_physical(frames, 4096)
    assert valid.all()
    assert (data.view("<u8")[:, 0] == frames).all()


def test_reads_nothing(stub: Stub) -> None:
    data, valid = stub.read_physical(u64(), 4096)
    assert data.shape == (0, 4096)
    assert valid.shape == (0,)


def test_addresses_beyond_any_memory_are_invalid_not_wrapped(stub: Stub) -> None:
    data, valid = stub.read_physical(u64(2**64 - 4, 1 << 63, DATA), 8)
    assert valid.tolist() == [False, False, True]
    assert not data[:2].any()


def test_virtual_reads_follow_the_vcpu(stub: Stub) -> None:
    stub.write_physical([(DATA, bytes(range(256)) * 16)])
    assert stub.read_virtual(DATA, 5000 - 904) == bytes(range(256)) * 16
    assert stub.read_virtual(DATA + 1, 3, vcpu=2) == b"\1\2\3"


def test_knows_its_vcpus(stub: Stub) -> None:
    assert list(stub.vcpus()) == [1, 2]
    assert stub.halted(1) is False
    assert stub.halted(2) is True
    for call in (stub.registers, stub.step):
        with pytest.raises(PtliveError, match="no vCPU 3"):
            call(3)


def test_registers_are_kept_per_vcpu(stub: Stub) -> None:
    before = [stub.registers(vcpu) for vcpu in (1, 2)]
    assert {"rip", "eflags", "cs", "ss", "cr0", "cr2", "cr3", "cr4", "efer"} <= before[0].keys()
    value = 0x11223344  # outside 64-bit mode QEMU's stub shows 32 bits of it
    stub.write_registers(2, {"cr2": value})
    stub.write_registers(1, {"cr2": value + 1, "rip": 0x1234})
    assert stub.registers(2) == before[1] | {"cr2": value}
    assert stub.registers(1) == before[0] | {"cr2": value + 1, "rip": 0x1234}
    stub.write_registers(1, before[0])
    stub.write_registers(2, before[1])
    assert [stub.registers(vcpu) for vcpu in (1, 2)] == before


def test_an_unknown_register_is_refused_before_anything_is_written(stub: Stub) -> None:
    before = stub.registers(1)
    with pytest.raises(PtliveError, match="no register pkru"):
        stub.write_registers(1, {"rax": 99, "pkru": 0})
    with pytest.raises(PtliveError, match="no register pkru"):
        stub.step(1, {"pkru": 0})
    assert stub.registers(1) == before
    assert all(isinstance(packet, str) for packet in stub.register_packets({"rax": 1}))


def test_a_step_executes_one_instruction_on_one_vcpu(stub: Stub) -> None:
    stub.write_physical([(CODE, NOP * 16)])
    before = [stub.registers(vcpu) for vcpu in (1, 2)]
    after = stub.step(1, {"cs": 0, "rip": CODE, "rax": 0x77})
    assert (after["rip"], after["rax"], after["cs"]) == (CODE + 1, 0x77, 0)
    assert stub.step(1)["rip"] == CODE + 2
    assert stub.registers(1)["rip"] == CODE + 2
    assert stub.registers(2) == before[1]
    stub.write_registers(1, {name: before[0][name] for name in ("cs", "rip", "rax", "eflags")})
    assert stub.registers(1) == before[0]


def test_writes_and_steps_outdate_what_was_read(stub: Stub) -> None:
    stub.write_physical([(CODE, NOP * 16)])
    before = stub.registers(1)
    generations = [stub.generation]
    stub.read_physical(u64(DATA), 8)
    stub.registers(1)
    assert stub.generation == generations[0]
    stub.write_physical([(DATA, b"x")])
    generations.append(stub.generation)
    stub.step(1, {"cs": 0, "rip": CODE})
    generations.append(stub.generation)
    assert generations == sorted(set(generations))
    stub.write_registers(1, {name: before[name] for name in ("cs", "rip")})


def test_the_monitor_reports_its_errors_as_text(stub: Stub) -> None:
    assert "unknown command" in stub.monitor("nonsense")
    assert [text.count("unknown command") for text in stub.monitor_many(["a", "b"])] == [1, 1]
