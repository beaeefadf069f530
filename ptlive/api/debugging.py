"""What a session does by gdb: symbols, expressions, breakpoints, running and stepping."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ptlive.api.stop import Breakpoint, Stop
from ptlive.api.whole import number
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from os import PathLike

    from ptlive.api.guest import Guest
    from ptlive.api.space import AddressSpace
    from ptlive.wire.gdb_run import GdbRun

_STEPS = ("-exec-step", "-exec-next")
_LENGTHS = {1: "char", 2: "short", 4: "int", 8: "long"}
_ACCESSES = ("write", "read", "access")


class Debugging(ABC):
    """The part of a `Session` that is gdb's; every method raises PtliveError if gdb refuses."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._resumed: int | None = None  # how many stops there were when `resume` was called

    @property
    @abstractmethod
    def _gdb(self) -> GdbRun:
        """What drives gdb."""

    @property
    @abstractmethod
    def guest(self) -> Guest:
        """The guest at this stop. Raises PtliveError while it runs."""

    @abstractmethod
    def _stale(self) -> None:
        """Let nothing that was given so far be asked any more."""

    def load(self, file: str | PathLike[str], *, slide: int | Literal["auto"] = "auto") -> int:
        """Load symbols: a vmlinux, any ELF file with symbols, a System.map, a saved kallsyms.

        slide: what is to be added to its addresses; "auto" finds out how far a Linux that is known
        by its structure was moved (KASLR), and takes 0 for everything else
        Returns the slide. Raises PtliveError for a file that cannot be read, and one of another
        kernel.
        """
        from ptlive.analysis.symbols.as_elf import as_elf
        from ptlive.analysis.symbols.elf import MAGIC
        from ptlive.answers.system import slide_of, symbols_of

        path = Path(file)
        if slide == "auto":
            space = self._paging()
            slide = 0 if space is None else slide_of(space._inner, path)
        with symbols_of(path) as symbols:
            data = None if _begins(path, MAGIC) else as_elf(symbols)
        if data is not None:
            # gdb reads names later, too, so the file stays until the session ends.
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ptlive-"))
            path = Path(folder, "symbols")
            path.write_bytes(data)
        name = os.fspath(path.absolute())
        self._gdb.console(f"symbol-file -o {slide % (1 << 64):#x} {_word(name)}")
        return slide

    def _paging(self) -> AddressSpace | None:
        """Return the address space of the selected vCPU, None while its paging is off."""
        try:
            return self.guest.space(self._gdb.vcpu)
        except PtliveError:
            self._gdb.check()
            return None

    def symbol(self, name: str) -> int:
        """Return the address of a symbol. Raises PtliveError if gdb knows none of that name."""
        return self.evaluate(f"&{name}")

    def name_of(self, va: int) -> str | None:
        """Return the symbol at an address and how far behind it that is, None if none is known."""
        text = self._gdb.console(f"info symbol {number(va, 'an address'):#x}")
        if text.startswith("No symbol"):
            return None
        return text.partition(" in section")[0].strip().replace(" + ", "+")

    def evaluate(self, expression: str) -> int:
        """Return the value of an expression of gdb's, as an unsigned number of 64 bits.

        "$rip", "&init_task", "*(int *) $rsp", ...: with the selected vCPU's registers. Raises
        PtliveError for what is no number.
        """
        try:
            return self._gdb.evaluate(expression)
        finally:
            self._gdb.may_have_written()

    def gdb(self, command: str) -> str:
        """Run any command of gdb's own command line, and return what it prints.

        Not for commands that let the guest run: there are methods for that, which wait for it.
        """
        stops = self._gdb.stops
        try:
            return self._gdb.console(command)
        finally:
            self._gdb.may_have_written()
            if self._gdb.running or self._gdb.stops != stops:
                self._stale()

    @property
    def gdb_pid(self) -> int:
        """The id of gdb's process."""
        return self._gdb.pid

    def select(self, vcpu: int) -> None:
        """Select a vCPU: expressions, registers and address spaces are of this one.

        Raises PtliveError for one that there is not.
        """
        self._gdb.select(vcpu)

    # Breakpoints.

    def breakpoint(
        self,
        place: str | int,
        *,
        hardware: bool = False,
        temporary: bool = False,
        condition: str | None = None,
        vcpu: int | None = None,
    ) -> Breakpoint:
        """Set a breakpoint.

        place: an address, or what gdb takes: "function", "file.c:42", "*0x..."
        hardware: one that writes nothing into the guest's code, which matters under KVM; temporary:
        it is gone once it was hit; condition: an expression, "$rdi == 5"; vcpu: only for this one

        Raises PtliveError if gdb knows no such place.
        """
        where = place if isinstance(place, str) else f"*{number(place, 'an address'):#x}"
        told = self._gdb.insert(
            where, hardware=hardware, temporary=temporary, condition=condition, vcpu=vcpu
        )
        address = told.get("addr", "")
        va = int(address, 16) if address.startswith("0x") else None
        return Breakpoint(int(told["number"]), where, va)

    def watchpoint(
        self, va: int, *, length: int = 8, access: Literal["write", "read", "access"] = "write"
    ) -> Breakpoint:
        """Stop when the guest writes, reads or accesses 1, 2, 4 or 8 bytes at an address.

        By debug registers under KVM (at most four), by QEMU under TCG. What the MMU itself reads
        and writes, entries and their A and D bits, is not seen by either.

        Raises PtliveError for another length or access, and if gdb cannot.
        """
        if length not in _LENGTHS or access not in _ACCESSES:
            raise PtliveError("a watchpoint is on 1, 2, 4 or 8 bytes: write, read or access")
        place = f"*({_LENGTHS[length]} *) {number(va, 'an address'):#x}"
        return Breakpoint(self._gdb.watch(place, access), place)

    def delete(self, *points: Breakpoint) -> None:
        """Delete breakpoints and watchpoints, all of them by default."""
        self._gdb.delete([point.number for point in points])

    # Running.

    def continue_(self, timeout: float | None = None) -> Stop:
        """Let the guest run until it stops; return how.

        timeout: seconds after which it is stopped and PtliveError is raised; None waits for ever
        (Ctrl-C stops the guest, and is raised).
        """
        return self._go("-exec-continue", timeout)

    def step(self, count: int = 1, *, over: bool = False, timeout: float | None = 60.0) -> Stop:
        """Step to another source line; over: not into functions. Needs a file with line numbers."""
        return self._go(f"{_STEPS[over]} {count}", timeout)

    def stepi(self, count: int = 1, *, over: bool = False, timeout: float | None = 60.0) -> Stop:
        """Execute so many instructions on the selected vCPU; over: not into functions."""
        return self._go(f"{_STEPS[over]}-instruction {count}", timeout)

    def finish(self, timeout: float | None = 60.0) -> Stop:
        """Run until the function returns to its caller. See `continue_`."""
        return self._go("-exec-finish", timeout)

    def until(self, place: str | int, timeout: float | None = 60.0) -> Stop:
        """Run until a place, wherever in the calls that is. See `breakpoint` and `continue_`."""
        point = self.breakpoint(place, temporary=True)
        try:
            stop = self.continue_(timeout)
        except BaseException:
            self._forget(point)
            raise
        if stop.breakpoint == point.number:
            return dataclasses.replace(stop, reason="reached")
        self._forget(point)
        return stop

    def resume(self) -> None:
        """Let the guest run, and return at once; `wait` or `interrupt` it later."""
        self._resumed = self._stand()
        self._gdb.resume()

    def wait(self, timeout: float | None = None) -> Stop | None:
        """Wait until a resumed guest has stopped; None when the time is over, and it runs on.

        Raises PtliveError if it was not resumed.
        """
        if self._resumed is None:
            raise PtliveError("the guest was not resumed, so there is no stop to wait for")
        return self._stopped() if self._gdb.wait(self._resumed, timeout) else None

    def interrupt(self) -> Stop:
        """Stop the guest, if it runs; return how it stopped last."""
        self._gdb.interrupt()
        return self._stopped()

    def _go(self, command: str, timeout: float | None) -> Stop:
        run = self._gdb
        stops = self._stand()
        try:
            run.resume(command)
            if run.wait(stops, timeout):
                return self._stopped()
        except BaseException:
            # Ctrl-C, or gdb's refusal; what the guest does now is to be known.
            self._stop_again()
            raise
        run.interrupt()
        stop = self._stopped()
        if stop.reason != "interrupted":  # at the very end of its time
            return stop
        at = f"{stop.rip:#x}{f' ({stop.function})' if stop.function else ''}"
        raise PtliveError(f"nothing stopped the guest within {timeout:g} s; it stands at {at} now")

    def _stand(self) -> int:
        """Return how many times the guest has stopped, which is about to run on.

        Raises PtliveError if it runs.
        """
        self._gdb.check()
        self._stale()
        return self._gdb.stops

    def _stopped(self) -> Stop:
        self._resumed = None
        return Stop(*self._gdb.stopped())

    def _stop_again(self) -> None:
        """Stop the guest if it can be; a lost gdb is told of elsewhere."""
        if not self._gdb.failed:
            self._gdb.interrupt()

    def _forget(self, point: Breakpoint) -> None:
        if not self._gdb.failed:
            self._gdb.delete([point.number])


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _word(name: str) -> str:
    """Return a file's name as gdb's command line takes it (gdb_buildargv)."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
