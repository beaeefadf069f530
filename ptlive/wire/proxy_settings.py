"""What a client of QEMU's stub sets there for its later packets, so that two can share it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ptlive.wire.proxy_packets import monitor, monitor_cpu, stopped_thread

_THREAD = re.compile(rb"H([gc])(?:p[0-9a-fA-F]+\.)?[0-9a-fA-F]+")


@dataclass(frozen=True)
class Settings:
    """The stub's state that lasts from packet to packet (QEMU, gdbstub.c: GDBState).

    thread_g, thread_c: what Hg and Hc chose; physical: `PhyMemMode`; sstep: the step
    flags; cpu: the monitor's own CPU. None is what is not known, and left alone.
    """

    thread_g: bytes | None = None
    thread_c: bytes | None = None
    physical: bytes | None = None
    sstep: bytes | None = None
    cpu: bytes | None = None

    def after(self, payload: bytes, reply: bytes, *, silent: bool = True) -> Settings:
        """Return what holds after this packet and its reply.

        silent: the monitor printed nothing, which is how it says that it obeyed.
        """
        if reply.startswith(b"T"):
            # gdb_vm_state_change: both are the vCPU that stopped. `?` says who that is.
            thread = stopped_thread(reply)
            return self if thread is None else replace(self, thread_g=thread, thread_c=thread)
        if reply != b"OK":
            return self
        chosen = _THREAD.fullmatch(payload)
        if chosen:  # `-1`, all threads, chooses none (handle_set_thread)
            name = "thread_g" if chosen[1] == b"g" else "thread_c"
            return replace(self, **{name: payload[2:]})
        if payload.startswith(b"Qqemu.PhyMemMode:"):
            return replace(self, physical=payload.partition(b":")[2])
        if payload.startswith(b"Qqemu.sstep="):
            return replace(self, sstep=payload.partition(b"=")[2])
        number = monitor_cpu(payload)
        return replace(self, cpu=number) if number is not None and silent else self

    def packets_to(self, wanted: Settings) -> list[bytes]:
        """Return the packets that make these settings the wanted ones."""
        ways = {
            "thread_g": b"Hg%s",
            "thread_c": b"Hc%s",
            "physical": b"Qqemu.PhyMemMode:%s",
            "sstep": b"Qqemu.sstep=%s",
        }
        packets = [
            packet % value
            for name, packet in ways.items()
            if (value := getattr(wanted, name)) not in (None, getattr(self, name))
        ]
        if wanted.cpu not in (None, self.cpu):
            packets.append(monitor(b"cpu %s" % wanted.cpu))
        return packets
