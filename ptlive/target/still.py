"""Did the guest stay stopped? Another client of QEMU may have let it run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from ptlive.target.attach import Target

# What changes in a guest that runs: its registers, and under TCG the timer that it set, which
# is counted in the guest's own time (KVM counts it in the host's, and so while it is stopped).
_REGISTERS, _TIMER = "info registers -a", "info lapic"
# target/i386/cpu-dump.c, x86_cpu_dump_local_apic_state: "initial_count = 9 current_count = 8".
_COUNT = re.compile(r"current_count\s*=\s*\d+")


class StandStill:
    """The state of a stopped guest, to be compared with a later one.

    By QMP the guest is seen to run, and to have run; without it a guest that came back
    to the very same registers and timer is taken for one that stood still. Our own
    steps count as well.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        if target.qmp is not None:
            target.qmp.resumed()
        self._before = self._state()

    def check(self) -> None:
        """Raise PtliveError if the guest has run since."""
        # QMP first: to a guest that runs the stub answers only after many seconds.
        qmp = self._target.qmp
        ran = qmp is not None and qmp.resumed()
        if qmp is not None and qmp.running():
            qmp.command("stop")
        if ran or self._state() != self._before:
            raise PtliveError(
                "the guest ran while it was being verified: something else let it, "
                "such as another monitor"
            )

    def _state(self) -> list[str]:
        if self._target.accelerator != "TCG":
            return self._target.stub.monitor_many([_REGISTERS])
        registers, apic = self._target.stub.monitor_many([_REGISTERS, _TIMER])
        # The rest of it changes while a guest is stopped, too: with what comes in on a device.
        return [registers, *_COUNT.findall(apic)]
