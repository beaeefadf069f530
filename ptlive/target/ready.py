"""Awaiting a guest: until it is up, or what is told if that does not come."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests.ready import After, Pages, Reaches, Says
from ptlive.target import running
from ptlive.target.attach import attach
from ptlive.target.machine import QEMU
from ptlive.wire.qmp import Qmp
from ptlive.wire.qmp_stub import parse_registers

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.guests.ready import Ready
    from ptlive.guests.recipe import Recipe
    from ptlive.target.running import Guest

# SDM vol. 3A 4.1.1: the bits that choose a mode of paging.
_CR0_PG, _CR4_PAE, _CR4_LA57, _EFER_LMA = 1 << 31, 1 << 5, 1 << 12, 1 << 10
# Control sequences of a terminal (ECMA-48, 5.4): firmware clears the screen before a kernel speaks.
_CURSOR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_POLL_SECONDS = 0.02
# target/i386/tcg/excp_helper.c, check_exception; under TCG, as -d cpu_reset has it logged.
_TRIPLE_FAULT = "Triple fault"
# How many of the guest's lines are told with an error.
_LAST_LINES = 3
# Behind a line that has not ended: "$" in a pattern is not to match there.
_GOES_ON = "\0"


def wait_ready(guest: Guest, recipe: Recipe, *, seconds: float | None = None) -> Guest:
    """Wait until the guest is up; return it with what it said, and the levels it pages with.

    `seconds` is the time limit, by default the recipe's. Raises PtliveError, with
    what the guest printed last, when it ends or the time is over before, and when
    it runs with another number of levels than it was started for.
    """
    limit = recipe.patience if seconds is None else seconds
    if isinstance(recipe.ready, Reaches):
        said, told = _run_to(guest, recipe.ready, limit), None
    else:
        said, told = _poll(guest, recipe.ready, limit)
    levels = int(told) if told else _levels(guest)
    if guest.levels and levels and levels != guest.levels:
        raise PtliveError(
            f"guest {guest.name} runs with {levels} levels of paging, not {guest.levels}"
        )
    up = dataclasses.replace(guest, said=said, levels=levels or guest.levels)
    if guest.alive:
        running.record(up)
    return up


def _run_to(guest: Guest, place: Reaches, limit: float) -> str:
    """Let a guest that has executed nothing yet run to a place, and stop there."""
    try:
        with attach(guest.gdb, was_running=False) as target:
            arrived = target.stub.run_to(1, place.address, limit)
    except PtliveError:
        if guest.alive:
            raise
        arrived = False
    if not arrived:
        raise _failure(guest, f"it did not come to {place.name}", limit)
    return f"stopped at {place.name}"


def _poll(guest: Guest, ready: Ready, limit: float) -> tuple[str, str | None]:
    """Look again and again; return what was found, and the number of levels if that tells it."""
    begun = time.monotonic()
    while True:
        # In this order: what a guest said before it ended is in the log afterwards.
        alive, now = guest.alive, time.monotonic()
        found = _look(guest, ready)
        if found:
            return found
        # An instruction that this KVM cannot emulate stops the guest, not QEMU.
        stuck = next((line for line in lines(guest.qemu_log) if "KVM internal error" in line), "")
        if stuck:
            raise PtliveError(f"guest {guest.name} is stuck: {stuck}")
        if not alive or now > begun + limit:
            raise _failure(guest, _missing(ready), limit)
        # A log may have become long: looking through it takes no more than half of the time.
        time.sleep(max(_POLL_SECONDS, time.monotonic() - now))


def _look(guest: Guest, ready: Ready) -> tuple[str, str | None] | None:
    match ready:
        case Says(whole_lines=True):
            whole = lines(guest.serial_log)[:-1]  # the last may be unfinished
            matches = (re.match(ready.pattern, line) for line in whole)
            found = next((one for one in matches if one), None)
            return (found.string, found.groupdict().get("levels")) if found else None
        case Says():
            for log in (guest.serial_log, guest.debug_log):
                *whole, last = lines(log) or [""]
                text = "\n".join([*whole, last + _GOES_ON if last else ""])
                found = re.search(ready.pattern, text, re.MULTILINE)
                if found:
                    return found[0].removesuffix(_GOES_ON), found.groupdict().get("levels")
        case Pages():
            if _levels(guest):
                return "paging is on", None
        case After():
            if time.time() >= guest.started + ready.seconds:
                return f"{ready.seconds:g} s after its start" if ready.seconds else "at once", None
    return None


def _missing(ready: Ready) -> str:
    if isinstance(ready, Says):
        return f"'{ready.pattern}' did not appear on serial or port 0xe9"
    return "paging is not on"


def _levels(guest: Guest) -> int:
    """Ask QEMU with how many levels the first vCPU pages: 0 without paging."""
    try:
        with Qmp(guest.qmp) as qmp:
            text = qmp.human("info registers -a")
    except PtliveError:
        if guest.alive:
            raise
        return 0
    cpu = parse_registers(text)[1]
    if not cpu["cr0"] & _CR0_PG:
        return 0
    if cpu["efer"] & _EFER_LMA:
        return 5 if cpu["cr4"] & _CR4_LA57 else 4
    return 3 if cpu["cr4"] & _CR4_PAE else 2


def _failure(guest: Guest, why: str, limit: float) -> PtliveError:
    if guest.alive:
        what = f"was not up after {limit:g} s: {why}"
    else:
        what = f"ended while booting: {how_ended(guest)}"
    return PtliveError(f"guest {guest.name} {what}; last words: {last_words(guest)}")


def how_ended(guest: Guest) -> str:
    """Return how a guest came to its end, as far as that can be known."""
    if _TRIPLE_FAULT in lines(guest.cpu_log):
        return "a triple fault"
    if guest.debug_exit is not None:
        return f"{guest.debug_exit:#x} was written to isa-debug-exit"
    if guest.exit_code is None:
        return "QEMU is gone"
    if guest.exit_code == 0:
        return "it shut down or reset itself"
    return f"QEMU's exit status was {guest.exit_code}"


def last_words(guest: Guest) -> str:
    """Return the last lines of QEMU and of the guest."""
    qemu, serial, debug = (
        [line for line in lines(log) if line]
        for log in (guest.qemu_log, guest.serial_log, guest.debug_log)
    )
    first = [line.removeprefix(f"{QEMU}: ") for line in qemu[-1:]]
    return " | ".join([*first, *(serial or debug)[-_LAST_LINES:]]) or "none"


def lines(path: Path) -> list[str]:
    """Return the lines of a log, without the spaces around them and what moves a cursor."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in _CURSOR.sub("", text).split("\n")]
