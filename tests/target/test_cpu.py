"""What is said of the vCPUs, and what is admitted not to be known."""

from __future__ import annotations

import numpy as np
import pytest

from ptlive.errors import PtliveError
from ptlive.target.cpu import accelerator, read_cpus
from tests.wire.memory_stub import MemoryStub

LISTING = (
    "type (string)\r\ndevice[0] (child<max-x86_64-cpu>)\r\nide[2] (child<memory-region>)\r\n"
    "device[2] (child<max-x86_64-cpu>)\r\ndevice[3] (child<i440FX>)\r\n"
)
PLUGGED = "type (string)\r\nextra (child<max-x86_64-cpu>)\r\n"


def stub(bits: tuple[str, str, str], large: str = "true") -> MemoryStub:
    fake = MemoryStub(np.zeros(16, np.uint8), vcpus=3)
    fake.answers = {
        "qom-list /machine/unattached": LISTING,
        "qom-list /machine/peripheral": PLUGGED,
        "qom-list /machine/peripheral-anon": "type (string)\r\n",
    }
    paths = ("unattached/device[0]", "unattached/device[2]", "peripheral/extra")
    for path, value in zip(paths, bits, strict=True):
        fake.answers[f"qom-get /machine/{path} phys-bits"] = f"{value}\r\n"
        fake.answers[f"qom-get /machine/{path} pdpe1gb"] = f"{large}\r\n"
    return fake


def test_reads_every_vcpu() -> None:
    fake = stub(("40", "40", "40"))
    fake.files[2] |= {"cr3": 0x1234005, "cr4": 0x20, "eflags": 0x246, "rip": 0x1000}
    cpus = read_cpus(fake)
    assert [cpu.vcpu for cpu in cpus] == [1, 2, 3]
    assert (cpus[1].cr3, cpus[1].cr4, cpus[1].rflags) == (0x1234005, 0x20, 0x246)
    assert [cpu.halted for cpu in cpus] == [False, True, True]
    assert all(cpu.maxphyaddr == 40 and cpu.gbpages is True for cpu in cpus)


def test_pcid_counts_only_when_it_is_enabled() -> None:
    fake = stub(("40", "40", "40"))
    fake.files[1] |= {"cr3": 0x1234005, "cr4": 0x20}
    fake.files[2] |= {"cr3": 0x1234005, "cr4": 0x20020}
    assert [cpu.pcid for cpu in read_cpus(fake)] == [0, 5, 0]


@pytest.mark.parametrize("bits", [("40", "40", "46"), ("Error", "Error", "Error"), ("0", "0", "0")])
def test_admits_what_is_not_told(bits: tuple[str, str, str]) -> None:
    cpus = read_cpus(stub(bits, large="Error: Property not found"))
    assert {cpu.maxphyaddr for cpu in cpus} == {None}
    assert {cpu.gbpages for cpu in cpus} == {None}


def test_an_old_monitor_knows_no_objects() -> None:
    cpus = read_cpus(MemoryStub(np.zeros(16, np.uint8)))
    assert (cpus[0].maxphyaddr, cpus[0].gbpages) == (None, None)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("kvm support: disabled\r\n", "TCG"),
        ("kvm support: enabled\r\n", "KVM, unknown"),
        ("unknown command: 'info kvm'\r\n", "unknown"),
    ],
)
def test_names_who_executes(answer: str, name: str) -> None:
    fake = stub(("40", "40", "40"))
    fake.answers["info kvm"] = answer
    assert accelerator(fake) == name


TREE = """\
/machine (virt-machine)
  /peripheral (container)
  /soc0 (riscv.hart_array)
    /harts[0] (rv64-riscv-cpu)
      /riscv.cpu.rnmi[0] (irq)
    /harts[1] (rv64-riscv-cpu)
  /unattached (container)
"""


def riscv(svnapot: tuple[str, str]) -> MemoryStub:
    fake = MemoryStub(np.zeros(16, np.uint8), vcpus=2)
    fake.files = {n: {"pc": n, "satp": 9 << 60, "mstatus": 0, "priv": 1} for n in (1, 2)}
    fake.answers = {"info qom-tree": TREE.replace("\n", "\r\n")}
    for hart, value in enumerate(svnapot):
        fake.answers[f"qom-get /machine/soc0/harts[{hart}] svnapot"] = f"{value}\r\n"
        fake.answers[f"qom-get /machine/soc0/harts[{hart}] svpbmt"] = "false\r\n"
    return fake


def test_reads_the_vcpus_of_another_architecture() -> None:
    cpus = read_cpus(riscv(("true", "true")))
    assert [(cpu.vcpu, cpu.pc, cpu.halted) for cpu in cpus] == [(1, 1, False), (2, 2, True)]
    assert cpus[0].architecture.name == "riscv64"
    assert cpus[0].registers == {"satp": 9 << 60, "mstatus": 0, "menvcfg": None, "priv": 1}
    assert cpus[0].features == {
        "svnapot": 1,
        "svpbmt": 0,
        "svadu": None,
        "svrsw60t59b": None,
    }
    assert cpus == read_cpus(riscv(("true", "true")))
    assert read_cpus(riscv(("true", "false")))[0].features["svnapot"] is None


def test_a_vcpu_that_is_no_x86_has_no_cr3_and_says_so() -> None:
    [cpu, _] = read_cpus(riscv(("true", "true")))
    for name in ("cr3", "efer", "pcid", "maxphyaddr"):
        with pytest.raises(PtliveError, match="x86-64 guests only, and this one is riscv64"):
            getattr(cpu, name)
