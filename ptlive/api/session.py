"""A scripted session: gdb and ptlive on one connection to a guest."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptlive.api.debugging import Debugging
from ptlive.api.guest import Guest, held_of, place_of
from ptlive.api.shown import Shown
from ptlive.api.whole import LAST, number
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind
from ptlive.show import words
from ptlive.target.attach import attach
from ptlive.target.cpu import read_cpus
from ptlive.wire.gdb_run import GdbRun
from ptlive.wire.gdb_stub import GdbStub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from ptlive.api.held import Held
    from ptlive.api.shown import Table
    from ptlive.api.space import AddressSpace
    from ptlive.target.attach import Target

_ENDED = "the session has ended"
_WENT_ON = "the guest has run on: ask the session for its address space at this stop"


class Session(Debugging, Shown):
    """gdb and ptlive on one guest, over its one connection, for a `with` block.

    address: as of `attach`; qmp, memory, was_running: see there
    program: which gdb; by default what PTLIVE_GDB in the environment names, else "gdb"

    At its end, however it ends, breakpoints are gone, and the guest runs if it ran before, or is
    left stopped, where it is; a guard process sees to that even if this one, or gdb, is killed.
    Address spaces and guests that it gave are good until the guest runs on. No signal handler is
    set, any thread may use it, one at a time; Ctrl-C in `continue_` and its like stops the guest.

    Entering raises PtliveError when there is no gdb, no stub, or somebody else holds it. Every
    method raises it when gdb refuses, and from then on when gdb or QEMU has ended.
    """

    def __init__(
        self,
        address: str = "localhost:1234",
        *,
        qmp: str | None = None,
        memory: str = "auto",
        was_running: bool | None = None,
        program: str | None = None,
    ) -> None:
        super().__init__()
        self._address, self._qmp, self._source = address, qmp, memory
        self._was_running, self._program = was_running, program
        self._run: GdbRun | None = None
        self._over = False
        self._base: Held | None = None
        self._now: Held | None = None

    def __enter__(self) -> Self:
        if self._run is not None:
            raise PtliveError("this session was opened before: make another one")
        with ExitStack() as stack:
            running, stub_at, monitor = place_of(stack, self._address, self._qmp, self._source)
            if stub_at is None:
                raise PtliveError("a session needs the gdb stub: name its address")
            held = attach(
                stub_at,
                was_running=self._was_running,
                qmp=monitor,
                transport="gdb",
                program=self._program,
            )
            target = stack.enter_context(held)
            assert isinstance(target.stub, GdbStub)
            self._run = GdbRun(target.stub)
            stack.callback(self._let_go)
            self._base = self._now = held_of(target, running, self._source)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        finally:
            self._over = True

    # What is known of the guest at this stop.

    @property
    def guest(self) -> Guest:
        """The guest at this stop. Raises PtliveError while it runs."""
        return Guest(self._held())

    @property
    def vcpu(self) -> int:
        """The selected vCPU, from 1; after a stop the one that stopped."""
        return self._gdb.vcpu

    @property
    def running(self) -> bool:
        """Whether the guest runs."""
        return self._gdb.running

    def space(
        self,
        vcpu: int | None = None,
        root: int | str | None = None,
        *,
        pkru: int | Literal["ask"] | None = None,
    ) -> AddressSpace:
        """Return the address space of a vCPU at this stop, by default of the selected one.

        root, pkru: see `Guest.space`. Raises PtliveError while the guest runs, and as that.
        """
        return self.guest.space(self.vcpu if vcpu is None else vcpu, root, pkru=pkru)

    def registers(self, vcpu: int | None = None) -> dict[str, int]:
        """Return the integer registers of a vCPU, by the stub's names: rip, eflags, cr3 ..."""
        return self._held().target.stub.registers(self.vcpu if vcpu is None else vcpu)

    def write_registers(self, values: Mapping[str, int], vcpu: int | None = None) -> None:
        """Write registers by name. They stay as they are when the session ends.

        Raises PtliveError for a name that the stub does not have.
        """
        stub = self._held().target.stub
        stub.write_registers(self.vcpu if vcpu is None else vcpu, values)
        self._stale()

    def read(self, va: int, length: int, vcpu: int | None = None) -> bytes:
        """Read memory through the tables, see `AddressSpace.read`."""
        return self.space(vcpu).read(va, length)

    def write(self, va: int, data: bytes, vcpu: int | None = None) -> None:
        """Write memory through the tables, whatever their rights; A and D stay as they are.

        It stays written when the session ends. Raises PtliveError, and writes nothing, where a
        page is not mapped, or maps anything but RAM.
        """
        if not data:
            return
        space = self.space(vcpu)
        va = number(va, "where to write", last=LAST + 1 - len(data))
        ends = [*range((va | 0xFFF) + 1, va + len(data), 1 << 12), va + len(data)]
        starts = [va, *ends[:-1]]
        found = space.translate_many(starts)
        if not found.mapped.all():
            missing = starts[int(np.flatnonzero(~found.mapped)[0])]
            raise PtliveError(f"{missing:#x} is not mapped in {space!r}")
        pieces = [data[start - va : end - va] for start, end in zip(starts, ends, strict=True)]
        self._write(list(zip(found.pa.tolist(), pieces, strict=True)))

    def read_physical(self, pa: int, length: int) -> bytes:
        """Read physical memory, RAM and ROM only, see `Guest.read`."""
        return self.guest.read(pa, length)

    def write_physical(self, pa: int, data: bytes) -> None:
        """Write RAM. It stays written when the session ends.

        Raises PtliveError, and writes nothing, where there is anything but RAM.
        """
        self._write([(number(pa, "a physical address", last=LAST + 1 - len(data)), data)])

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's human monitor and return all it prints.

        `info mem` and `info tlb` are refused: of a large address space gdb and QEMU wait for each
        other for ever, since gdb acknowledges each line and QEMU reads none of that.
        """
        if command.split()[:2] in (["info", "mem"], ["info", "tlb"]):
            raise PtliveError(f"{command!r} through gdb may hang QEMU: ask it over QMP")
        return self._held().target.stub.monitor(command)

    def _let_go(self) -> None:
        """Stop the guest and take our breakpoints away, so that it can be given back."""
        self._stale(_ENDED)
        run = self._gdb
        if run.failed:
            return
        run.interrupt()
        run.delete()

    def _stale(self, why: str = _WENT_ON) -> None:
        """Let nothing that was given so far be asked any more."""
        if self._now is not None:
            self._now.end(why)
            self._now = None

    def _held(self) -> Held:
        """Return the guest at this stop. Raises PtliveError while it runs, and at the end."""
        base = self._base
        self._gdb.check()
        assert base is not None
        if self._now is None:
            target = base.target
            features = target.cpus[0].features
            large = features.get("gbpages")
            known = (features.get("maxphyaddr"), None if large is None else bool(large))
            cpus = tuple(read_cpus(target.stub, known))
            self._now = dataclasses.replace(
                base, target=dataclasses.replace(target, cpus=cpus), why_not=None
            )
        return self._now

    def _write(self, writes: list[tuple[int, bytes]]) -> None:
        target: Target = self._held().target
        first = np.array([pa for pa, _ in writes], dtype=np.uint64)
        last = np.array([pa + max(len(data), 1) - 1 for pa, data in writes], dtype=np.uint64)
        ram = (target.ram_map.kind_of(first) == Kind.RAM) & target.ram_map.uniform(first, last)
        if not ram.all():
            where = int(first[~ram][0])
            raise PtliveError(f"what lies at physical {where:#x} is not RAM: nothing was written")
        target.stub.write_physical(writes)
        self._stale()

    @property
    def _gdb(self) -> GdbRun:
        if self._run is None:
            raise PtliveError("a session begins with its `with` block")
        if self._over:
            raise PtliveError(_ENDED)
        return self._run

    def _title(self) -> str:
        if self._run is None or self._base is None:
            return f"session at {self._address}, not begun"
        try:
            state = "running" if self._run.running else f"vCPU {self.vcpu} selected"
        except PtliveError:  # gdb or QEMU has
            return f"session at {self._address}, ended"
        vcpus = words.count(len(self._base.target.cpus), "vCPU")
        return f"session at {self._address}: {vcpus}, {state}"

    def _content(self) -> Iterator[str | Table]:
        yield from ()
