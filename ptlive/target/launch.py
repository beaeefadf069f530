"""Starting and ending guests under QEMU."""

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
from ptlive.guests.ready import Reaches
from ptlive.target import process, running
from ptlive.target.machine import QEMU, SWAP, Machine, command_line
from ptlive.target.ready import last_words, wait_ready
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
    machine = machine or Machine(levels=recipe.usual_levels)
    if recipe.levels and machine.levels not in recipe.levels:
        raise PtliveError(f"{recipe.name} does not page with {machine.levels} levels")
    if not shutil.which(QEMU):
        raise PtliveError(f"{QEMU} is missing: install the package qemu-system-x86")
    machine.check_host()
    if isinstance(recipe.ready, Reaches):
        # Frozen before its first instruction, or it might have been there before we can look.
        machine = dataclasses.replace(machine, extra=("-S", *machine.extra))
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
            levels=machine.levels or 0,
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
    raise PtliveError(f"QEMU did not start; its last words: {last_words(guest)}")


def wait_end(guest: Guest, seconds: float) -> None:
    """Wait until the guest ends by itself. Raises PtliveError if it does not within `seconds`."""
    if not process.wait_end(guest.pid, guest.process_started, seconds):
        raise PtliveError(
            f"guest {guest.name} did not end within {seconds:g} s; last words: {last_words(guest)}"
        )


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
            guest = wait_ready(guest, recipe)
            yield guest
        finally:
            stop(guest)
