"""Clean Debian kernels raise no alarm, by release, levels, isolation and firmware: test --all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import linux
from ptlive.target import launch
from ptlive.target.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(400)]

BACKPORTS = "bookworm-backports"  # 6.12; the system's own release has 6.1


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
@pytest.mark.parametrize("levels", [5, 4])
@pytest.mark.parametrize("isolation", ["on", "off", "auto"])
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_a_clean_kernel_raises_no_alarm(
    ptlive: Callable[..., Done], release: str, levels: int, isolation: str, uefi: bool
) -> None:
    made = linux.recipe(append=f"pti={isolation}", release=release, uefi=uefi)
    with launch.temporary(made, Machine(levels=levels, cpus=2)) as guest:
        done = ptlive("audit", "--guest", guest.name, "--all-roots", "--json")
    value = json.loads(done.out)
    findings = [(one["rule"], one["severity"], one["explanation"]) for one in value["findings"]]
    assert done.status == 0, findings
    assert all(explanation for *_, explanation in findings), findings
    isolated = {rule for rule, *_ in findings} >= {"isolation-user-root"}
    assert isolated or isolation != "on"
