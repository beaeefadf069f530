"""A stand-in for QEMU's process: this one, with the guest's RAM in files that it has mapped."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.memory.host import Host
from ptlive.memory.ram import PlainRam
from ptlive.memory.ram_map import Kind, RamMap, Region

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U8

FRAME = 1 << 12
NOBODY = 65534
HIGH = 1 << 32
ROM = 0xFFFC_0000
# Split RAM of one backend with a stretch that the firmware locked, a second node, and a ROM.
LOW_FRAMES, HIGH_FRAMES, NODE_FRAMES = 8, 4, 4
NODE = HIGH + HIGH_FRAMES * FRAME
MAP = RamMap(
    [
        Region(0, 3 * FRAME - 1, Kind.RAM, "ram", 0),
        Region(3 * FRAME, 4 * FRAME - 1, Kind.ROM, "ram", 3 * FRAME),
        Region(4 * FRAME, LOW_FRAMES * FRAME - 1, Kind.RAM, "ram", 4 * FRAME),
        Region(0xFEC0_0000, 0xFEC0_0FFF, Kind.DEVICE, "ioapic", 0),
        Region(ROM, ROM + FRAME - 1, Kind.ROM, "pc.bios", 0),
        Region(HIGH, NODE - 1, Kind.RAM, "ram", LOW_FRAMES * FRAME),
        Region(NODE, NODE + NODE_FRAMES * FRAME - 1, Kind.RAM, "/objects/node", 0),
    ]
)
SIZES = {
    "ram": (LOW_FRAMES + HIGH_FRAMES) * FRAME,
    "/objects/node": NODE_FRAMES * FRAME,
    "pc.bios": FRAME,
}


@dataclass
class OwnMemory:
    """Backends by the names of their memory regions; each is a memfd that is mapped.

    offset: where they begin in their files; properties: what an object says else
    """

    offset: int = 0
    shared: bool = True
    properties: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files: dict[str, int] = {}
        self._maps: dict[str, mmap.mmap] = {}
        self.content: dict[str, U8] = {}
        for seed, (name, size) in enumerate(SIZES.items()):
            file = os.memfd_create("memory-backend-memfd")
            os.ftruncate(file, self.offset + size)
            flags = mmap.MAP_SHARED if self.shared else mmap.MAP_PRIVATE
            mapped = mmap.mmap(file, self.offset + size, flags=flags)
            self.content[name] = np.frombuffer(mapped, np.uint8)[self.offset :]
            self.content[name][:] = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
            self.files[name], self._maps[name] = file, mapped

    def close(self) -> None:
        """Let go of the files; what is still mapped stays."""
        for file in self.files.values():
            os.close(file)

    def truth(self) -> PlainRam:
        """What a correct memory reads."""
        return PlainRam(
            {
                region.first: self.content[region.name][region.offset :][
                    : region.last - region.first + 1
                ]
                for region in MAP.regions
                if region.name in self.content
            }
        )

    def host(self, **changes: object) -> Host:
        """What is known of such a QEMU."""
        known: dict[str, object] = {
            "monitor_many": self.monitor_many,
            "ram_map": MAP,
            "memory": self.truth(),
            "pid": os.getpid(),
            "roots": frozenset({2 * FRAME}),
        }
        return Host(**{**known, **changes})  # type: ignore[arg-type]  # fields by name

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """Answer as QEMU's monitor does."""
        return [self._answer(command) for command in commands]

    def _answer(self, command: str) -> str:
        word, *rest = command.split()
        if word == "gpa2hva":
            address = int(rest[0], 16)
            for region in MAP.regions:
                if region.first <= address <= region.last and region.name in self.content:
                    at = self.content[region.name].ctypes.data + region.offset
                    host = at + address - region.first
                    return f"Host virtual address for {address:#x} ({region.name}) is {host:#x}\r\n"
            return f"No memory is mapped at address {address:#x}\r\n"
        assert word == "qom-get"
        path, name = rest
        if path not in ("/objects/ram", "/objects/node"):
            return f"Error: Device '{path}' not found\r\n"
        if name in self.properties:
            return self.properties[name] + "\r\n"
        if name == "share":
            return "true\r\n" if self.shared else "false\r\n"
        return f"Error: Property 'memory-backend-memfd.{name}' not found\r\n"


def as_nobody(work: Callable[[], str]) -> str:
    """Return what `work` says in a child that may not trace this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(NOBODY)
        os.write(writing, work().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        return said.read()
