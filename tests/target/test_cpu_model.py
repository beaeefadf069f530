"""A CPU for another QEMU that pages as the guest's does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptlive.target.cpu import read_cpus
from ptlive.target.cpu_model import cpu_option
from tests.wire.memory_stub import MemoryStub

LA57, SMEP, PKE, NXE = 1 << 12, 1 << 20, 1 << 22, 1 << 11


def stub(**told: str) -> MemoryStub:
    fake = MemoryStub(np.zeros(16, np.uint8), vcpus=1)
    path = "/machine/unattached/device[0]"
    fake.answers = {
        "qom-list /machine/unattached": "device[0] (child<EPYC-v3-x86_64-cpu>)\r\n",
        "qom-list /machine/peripheral": "",
        "qom-list /machine/peripheral-anon": "",
    }
    told = {"phys-bits": "40", "pdpe1gb": "true", **told}
    for name in ("la57", "smep", "smap", "pku", "nx", "pdpe1gb", "phys-bits"):
        answer = told.get(name, "false")
        fake.answers[f"qom-get {path} {name}"] = f"{answer}\r\n"
    return fake


def test_every_feature_that_matters_is_the_guests() -> None:
    fake = stub(nx="true", smep="true", pdpe1gb="true", **{"phys-bits": "46"})
    (cpu,) = read_cpus(fake)
    said = "la57=off,smep=on,smap=off,pku=off,nx=on,pdpe1gb=on"
    assert cpu_option(fake, cpu, "tcg") == f"max,{said},phys-bits=46"
    assert cpu_option(fake, cpu, "kvm") == f"host,{said},host-phys-bits=off,phys-bits=46"


@pytest.mark.parametrize("answer", ["false", "Error: Property 'x.la57' not found"])
def test_what_the_guest_has_switched_on_its_cpu_has(answer: str) -> None:
    """Else the twin's CPU would refuse the guest's CR4."""
    fake = stub(la57=answer, smep=answer, pku=answer, nx=answer)
    (cpu,) = read_cpus(fake)
    cpu = replace(cpu, cr4=LA57 | SMEP | PKE, efer=NXE)
    chosen = cpu_option(fake, cpu, "tcg").split(",")
    assert {"la57=on", "smep=on", "pku=on", "nx=on", "smap=off"} <= set(chosen)


def test_what_is_not_told_is_left_to_qemu() -> None:
    fake = MemoryStub(np.zeros(16, np.uint8), vcpus=1)
    (cpu,) = read_cpus(fake)
    cpu = replace(cpu, cr4=SMEP, efer=0)
    assert cpu_option(fake, cpu, "tcg") == "max,smep=on"
