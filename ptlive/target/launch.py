"""Starting, awaiting and ending bundled guests under QEMU."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests import swap_disk
from ptlive.target import process, running
from ptlive.target.machine import QEMU, SWAP, Machine, command_line
from ptlive.target.running import Guest
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ptlive.guests.recipe import Boot, Recipe

# QEMU itself is up within 0.1 s; this bounds the wait on a computer that is very busy.
_START_SECONDS = 20.0
# How long QEMU is given to answer, and to end, when it is asked to quit.
QUIT_SECONDS = 3.0

_CR4_LA57 = 1 << 12
# Control sequences of a terminal (ECMA-48, 5.4): firmware clears the screen before a kernel speaks.
_CURSOR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def _silent(_line: str) -> None:
    pass


def start(
    recipe: Recipe,
    machine: Machine | None = None,
    *,
    outlive: bool = False,
    progress: Callable[[str], None] = _silent,
) -> Guest:
    """Start a guest under QEMU and return it; it has yet to boot (see wait_ready).

    It dies with the calling thread, however that ends, unless it is to `outlive`
    the command. Long preparations are told to `progress`, a line each. Raises
    PtliveError, with QEMU's last words when it had some, if it cannot be started.
    """
    machine = machine or Machine(levels=recipe.levels[0])
    if machine.levels not in recipe.levels:
        raise PtliveError(f"{recipe.name} does not page with {machine.levels} levels")
    if not shutil.which(QEMU):
        raise PtliveError(f"{QEMU} is missing: install the package qemu-system-x86")
    machine.check_host()
    boot = recipe.prepare(progress)
    # An unnamed file in memory: it cannot be left behind, and the size of /dev/shm,
    # small in containers, does not bound it. Others open it through QEMU's /proc/PID/fd.
    ram = os.memfd_create(f"ptlive-{recipe.name}")
    try:
        os.ftruncate(ram, machine.memory or recipe.memory)
        with running.locked() as state:
            return _start(recipe, machine, boot, ram, state, outlive)
    finally:
        os.close(ram)


def _start(
    recipe: Recipe, machine: Machine, boot: Boot, ram: int, state: Path, outlive: bool
) -> Guest:
    name, folder, sockets = running.reserve(state, recipe.name)
    memory = os.fstat(ram).st_size
    gdb = machine.gdb or f"unix:{sockets / 'gdb.sock'}"
    command = command_line(
        machine,
        boot,
        ram=f"/proc/self/fd/{ram}",
        memory=memory,
        gdb="127.0.0.1:0" if gdb == "free" else gdb,
        folder=folder,
        sockets=sockets,
    )
    pid: int | None = None
    try:
        if boot.swap:
            swap_disk.create(folder / SWAP, boot.swap)
        pid = process.spawn(command, output=folder / "qemu.log", keep=[ram], outlive=outlive)
        guest = Guest(
            name=name,
            kind=recipe.name,
            levels=machine.levels,
            accelerator=machine.accel,
            memory=memory,
            cpus=machine.cpus,
            pid=pid,
            process_started=process.start_time(pid) or 0,
            started=time.time(),
            gdb=gdb,
            qmp=f"unix:{sockets / 'qmp.sock'}",
            serial=f"unix:{sockets / 'serial.sock'}",
            ram=f"/proc/{pid}/fd/{ram}",
            folder=str(folder),
            socket_folder=str(sockets),
            symbols=str(boot.symbols) if boot.symbols else None,
            command=command,
        )
        running.record(guest)  # from here on others can end it, should we be killed
        port = _await_qemu(guest)
        if port and not gdb.startswith("unix:"):
            host = "127.0.0.1" if gdb == "free" else gdb.rpartition(":")[0]
            guest = dataclasses.replace(guest, gdb=f"{host}:{port}")
            running.record(guest)
    except BaseException:
        if pid is not None:
            process.end(pid, process.start_time(pid) or 0)
        for leftover in {folder, sockets}:
            shutil.rmtree(leftover, ignore_errors=True)
        raise
    return guest


def _await_qemu(guest: Guest) -> str | None:
    """Wait until QEMU has set itself up, and return the TCP port of its stub, if any."""
    deadline = time.monotonic() + _START_SECONDS
    while guest.alive:
        try:
            with Qmp(guest.qmp) as qmp:
                # Answered by QEMU's main loop, which begins once all is set up.
                devices = qmp.command("query-chardev")
        except PtliveError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        for device in devices if isinstance(devices, list) else []:
            if device["label"] == "gdb":
                found = re.search(r"tcp:\S*:(\d+),server", device["filename"])
                return found[1] if found else None
        return None
    raise PtliveError(f"QEMU did not start; its last words: {_last_words(guest)}")


def _last_words(guest: Guest) -> str:
    """Return the last line of QEMU, or else of the guest."""
    for path in (guest.qemu_log, guest.serial_log):
        said = [line for line in _lines(path) if line]
        if said:
            return said[-1].removeprefix(f"{QEMU}: ")
    return "none"


def _lines(path: Path) -> list[str]:
    """Return the lines of a log, without the spaces around them and what moves a cursor."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in _CURSOR.sub("", text).split("\n")]


def wait_ready(guest: Guest, recipe: Recipe, *, seconds: float | None = None) -> str:
    """Wait until the guest says on its serial port that it is up; return that line.

    `seconds` is the time limit, by default the recipe's. Raises PtliveError, with
    what the guest printed last, when it ends or the time is over before, and when
    it runs with another number of levels than it was started for.
    """
    limit = recipe.patience if seconds is None else seconds
    deadline = time.monotonic() + limit
    while True:
        # In this order: what a guest said before it ended is in the log afterwards.
        alive, late = guest.alive, time.monotonic() > deadline
        ready = _ready(guest, recipe)
        if ready:
            levels = ready.groupdict().get("levels") or _levels(guest)
            if int(levels) != guest.levels:
                raise PtliveError(
                    f"guest {guest.name} runs with {levels} levels of paging, not {guest.levels}"
                )
            return ready.string if recipe.whole_lines else ready[0]
        # An instruction that this KVM cannot emulate stops the guest, not QEMU.
        stuck = next((line for line in _lines(guest.qemu_log) if "KVM internal error" in line), "")
        if stuck:
            raise PtliveError(f"guest {guest.name} is stuck: {stuck}")
        if late or not alive:
            what = f"was not up after {limit:g} s" if alive else "ended while booting"
            raise PtliveError(f"guest {guest.name} {what}; last words: {_last_words(guest)}")
        time.sleep(0.02)


def _ready(guest: Guest, recipe: Recipe) -> re.Match[str] | None:
    """Look for what the guest says when it is up."""
    lines = _lines(guest.serial_log)
    if not recipe.whole_lines:
        return re.search(recipe.ready, "\n".join(lines))
    matches = (re.match(recipe.ready, line) for line in lines[:-1])  # the last may be unfinished
    return next((found for found in matches if found), None)


def _levels(guest: Guest) -> int:
    """Ask QEMU with how many levels a guest pages that does not say it."""
    with Qmp(guest.qmp) as qmp:
        cr4 = re.search(r"CR4=([0-9a-f]+)", qmp.human("info registers"))
    return 5 if cr4 and int(cr4[1], 16) & _CR4_LA57 else 4


def stop(guest: Guest) -> None:
    """End a guest, politely first, and remove what was kept about it."""
    if guest.alive:
        with suppress(PtliveError), Qmp(guest.qmp, timeout=QUIT_SECONDS) as qmp:
            qmp.command("quit")
        if not process.wait_end(guest.pid, guest.process_started, QUIT_SECONDS):
            process.end(guest.pid, guest.process_started)
    running.forget(guest)


@contextmanager
def temporary(
    recipe: Recipe,
    machine: Machine | None = None,
    *,
    progress: Callable[[str], None] = _silent,
) -> Iterator[Guest]:
    """Run a guest, booted and ready, for as long as the `with` block lasts.

    It ends with the block, on an exception, Ctrl-C, SIGTERM and SIGHUP too; when
    this process is killed, the kernel ends it.
    """
    with process.orderly_signals():
        guest = start(recipe, machine, progress=progress)
        try:
            wait_ready(guest, recipe)
            yield guest
        finally:
            stop(guest)
