"""One twin, from its start to its end: QEMU, what goes in, what comes out."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.oracle.twin import prober as prober_file
from ptlive.oracle.twin.borrow import borrow
from ptlive.oracle.twin.encode import Encoder
from ptlive.oracle.twin.fork import CR4_LA57, CR4_PAE, ENTRIES, FOUR_GB, FRAME
from ptlive.oracle.twin.script import Poke, Probe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ptlive.arrays import U8, U64
    from ptlive.oracle.twin.fork import Fork
    from ptlive.oracle.twin.prober import Prober
    from ptlive.oracle.twin.script import Outcome, Step

# A DIMM is a whole number of these.
_DIMM_UNIT = 2 << 20
# QEMU starts within 0.1 s; the slowest accesses, fetches, run at 100,000 a second.
_START_SECONDS = 30.0
_SECONDS_EACH = 1 / 10_000


def run(
    fork: Fork,
    script: Sequence[Step],
    *,
    slots: tuple[int, int] | None = None,
    seconds: float | None = None,
    elf: Path | None = None,
) -> Outcome:
    """Fork the guest, do what the script says in the twin, and return what came of it.

    Nothing in the guest changes, and nothing is left behind. `slots` are the root
    entries to borrow, by default those that disturb least; `seconds` is the
    twin's time limit, by default a generous one for the number of accesses; `elf`
    another prober than the installed one. Raises PtliveError when the RAM cannot
    be read, QEMU does not start, or the twin does not come to its end.
    """
    prober = prober_file.load(elf)
    if seconds is None:
        count = sum(len(step.addresses) for step in script if isinstance(step, Probe))
        seconds = _START_SECONDS + count * _SECONDS_EACH
    with ExitStack() as stack:
        ram = _open_ram(fork)
        stack.callback(os.close, ram)
        if fork.words:
            script = [Poke(*fork.words), *script]
        borrowed = borrow(fork, _read_root(fork, ram), script, slots)
        encoder = Encoder(prober, fork, borrowed, script)
        extra = os.memfd_create("ptlive-twin")
        stack.callback(os.close, extra)
        size = -(-encoder.size // _DIMM_UNIT) * _DIMM_UNIT
        os.ftruncate(extra, size)
        memory: U8 = np.frombuffer(mmap.mmap(extra, size), dtype=np.uint8)
        encoder.fill(memory)
        rom = os.memfd_create("ptlive-prober")
        stack.callback(os.close, rom)
        levels = CR4_LA57 if fork.control.levels == 5 else 0
        entries = dict.fromkeys((0, encoder.slot), encoder.entry)
        patched = prober.patched(cr4=CR4_PAE | levels, extra=encoder.extra, entries=entries)
        os.write(rom, patched)
        command = command_line(
            fork, prober, ram=ram, extra=extra, extra_size=size, address=encoder.extra, rom=rom
        )
        started = time.monotonic()
        _execute(command, (ram, extra, rom), prober, memory, seconds)
        outcome = encoder.outcome(memory)
        outcome.seconds = time.monotonic() - started
        return outcome


def _open_ram(fork: Fork) -> int:
    """Open the RAM here, so that it is this file, whatever becomes of its path."""
    if not isinstance(fork.ram, str):
        return os.dup(fork.ram.fileno())
    try:
        ram = os.open(fork.ram, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PtliveError(f"cannot read the guest's RAM at {fork.ram}: {error.strerror}") from error
    size = os.fstat(ram).st_size
    if size < fork.size:
        os.close(ram)
        raise PtliveError(f"{fork.ram} has {size} bytes, the guest's RAM {fork.size}")
    return ram


def _read_root(fork: Fork, ram: int) -> U64:
    table = os.pread(ram, FRAME, fork.offset(fork.root_frame))
    root = np.frombuffer(table, dtype=np.uint64, count=ENTRIES).copy()
    addresses, values = fork.words or (root[:0], root[:0])
    inside = addresses & ~np.uint64(FRAME - 1) == np.uint64(fork.root_frame)
    root[(addresses[inside] % np.uint64(FRAME) // np.uint64(8)).astype(np.intp)] = values[inside]
    return root


def command_line(
    fork: Fork, prober: Prober, *, ram: int, extra: int, extra_size: int, address: int, rom: int
) -> list[str]:
    """Return the twin's QEMU command.

    ram, extra, rom: file descriptors that it inherits; address: of the extra RAM
    """
    # What QEMU is told is a limit; where RAM ends below it, nothing is split off.
    limit = fork.low_ram if fork.size > fork.low_ram else FOUR_GB
    # The cache of translated code is as large as fetches at a million addresses need.
    accel = "tcg,thread=single,tb-size=64" if fork.accel == "tcg" else fork.accel
    file = "memory-backend-file,mem-path=/proc/self/fd"
    return [
        *(fork.qemu, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-accel", accel, "-cpu", fork.cpu, "-smp", "1"),
        *("-machine", f"{fork.machine},memory-backend=ram,max-ram-below-4g={limit}"),
        *("-m", f"size={fork.size}B,slots=1,maxmem={fork.size + extra_size}B"),
        *("-object", f"{file}/{ram},id=ram,size={fork.size},share=off"),
        *("-object", f"{file}/{extra},id=extra,size={extra_size},share=on"),
        *("-device", f"pc-dimm,memdev=extra,addr={address}"),
        *("-bios", f"/proc/self/fd/{rom}"),
        *("-device", f"isa-debug-exit,iobase={prober['EXIT_PORT']:#x},iosize=4"),
    ]


def _execute(
    command: Sequence[str], files: Sequence[int], prober: Prober, memory: U8, seconds: float
) -> None:
    """Run the twin to its end. Raises PtliveError if that is not the prober's own."""
    try:
        # The kernel ends the twin when the calling thread ends (prctl(2), PR_SET_PDEATHSIG).
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=files,
            start_new_session=True,
        )
    except OSError as error:
        raise PtliveError(f"cannot start the twin: {error.strerror}") from error
    with process:
        try:
            said = process.communicate(timeout=seconds)[1].decode(errors="replace").splitlines()
        except subprocess.TimeoutExpired:
            where = _probing(prober, memory)
            raise PtliveError(f"the twin was not done after {seconds:g} s{where}") from None
        finally:
            process.kill()
    status = process.returncode
    if status == _status(prober, "EXIT_DONE"):
        return
    if status == _status(prober, "EXIT_TRAPPED"):
        raise PtliveError(f"the prober was stopped by an exception: {_trap(prober, memory)}")
    if status == 0:
        raise PtliveError(
            "the twin ended early: its CPU shut down, since the prober's own ground was not "
            "mapped, or somebody ended it"
        )
    if status < 0:
        raise PtliveError(f"the twin was killed by signal {-status}")
    last = said[-1] if said else "none"
    raise PtliveError(f"the twin ended with status {status}; its last words: {last}")


def _status(prober: Prober, reason: str) -> int:
    return prober[reason] << 1 | 1


def _state(prober: Prober, memory: U8, *names: str) -> list[int]:
    """Return fields of the prober's state as it left them."""
    places = [prober["STATE"] + prober[f"STATE_{name}"] for name in names]
    return [int(memory[at : at + 8].view(np.uint64)[0]) for at in places]


def _trap(prober: Prober, memory: U8) -> str:
    vector, code, rip, cr2 = _state(prober, memory, "VECTOR", "ERROR", "RIP", "CR2")
    return f"vector {vector}, error code {code:#x}, RIP {rip:#x}, CR2 {cr2:#x}"


def _probing(prober: Prober, memory: U8) -> str:
    """Say at which access the twin was: a fetch may have executed HLT where nothing is painted."""
    probing, va = _state(prober, memory, "PROBING", "ADDRESS")
    return f"; its last access was at {va:#x}" if probing else ""
