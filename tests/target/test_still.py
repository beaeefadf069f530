"""A guest that is let run by somebody else is seen to have run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.errors import PtliveError
from ptlive.target.attach import attach
from ptlive.target.still import StandStill
from ptlive.wire.qmp import Qmp
from tests.wire.memory_stub import MemoryStub

if TYPE_CHECKING:
    from typing import Any

    from ptlive.target.running import Guest


def fake() -> Any:
    from types import SimpleNamespace

    stub = MemoryStub(np.zeros(16, np.uint8), vcpus=1)
    stub.answers = {
        "info registers -a": "RAX=0\r\n",
        "info lapic": "current_count = 5\r\nIRR (none)\r\n",
    }
    return SimpleNamespace(stub=stub, qmp=None, accelerator="TCG")


@pytest.mark.parametrize(
    ("witness", "now"),
    [("info registers -a", "RAX=1\r\n"), ("info lapic", "current_count = 6\r\nIRR (none)\r\n")],
)
def test_registers_and_timer_tell(witness: str, now: str) -> None:
    target = fake()
    still = StandStill(target)
    still.check()
    target.stub.answers[witness] = now
    with pytest.raises(PtliveError, match="the guest ran while it was being verified"):
        still.check()


def test_an_interrupt_that_waits_is_no_sign_that_the_guest_ran() -> None:
    target = fake()
    still = StandStill(target)
    target.stub.answers["info lapic"] = "current_count = 5\r\nIRR 52\r\n"
    still.check()


def test_a_timer_that_kvm_counts_in_the_hosts_time_tells_nothing() -> None:
    target = fake()
    target.accelerator = "KVM, unknown"
    still = StandStill(target)
    target.stub.answers["info lapic"] = "current_count = 6\r\n"
    still.check()


@pytest.mark.qemu
@pytest.mark.parametrize("stops_again", [True, False])
def test_qmp_tells_of_a_guest_that_looks_the_same(menu_guest_5: Guest, stops_again: bool) -> None:
    with Qmp(menu_guest_5.qmp) as qmp:
        found = qmp.running()
        with attach(menu_guest_5.gdb) as target:
            target = replace(target, qmp=qmp)
            still = StandStill(target)
            still.check()
            qmp.command("cont")
            time.sleep(0.05)
            if stops_again:
                qmp.command("stop")
            with pytest.raises(PtliveError, match="the guest ran while it was being verified"):
                still.check()
            assert not qmp.running()
        assert qmp.running() == found
