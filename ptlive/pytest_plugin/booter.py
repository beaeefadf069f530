"""Guests of a session: booted when they are asked for, kept, and ended with it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Unpack

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import settings
from ptlive.pytest_plugin.guest import BootedGuest
from ptlive.target.how import machine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.guests import Recipe
    from ptlive.pytest_plugin.settings import How
    from ptlive.target.machine import Machine

# Lines of what a guest has written that are told with a failure.
_LAST_LINES = 40


class Booter:
    """Boots guests for tests: the value of the fixture `ptlive_boot`.

    Called twice with the same words it gives the same guest, if that still runs.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._keep = bool(config.getoption("--ptlive-keep"))
        self._guests: list[BootedGuest] = []
        self._same: dict[str, BootedGuest] = {}
        #: Those that the test has asked for that runs now.
        self._asked: list[BootedGuest] = []
        #: What a guest that did not come up had written.
        self._failed: list[tuple[str, str]] = []

    def __call__(self, *, fresh: bool = False, **how: Unpack[How]) -> BootedGuest:
        """Boot a guest, or give the one that was booted with the same words.

        fresh: one that nobody else has; how: see `How`; what is not said there is what the ini
        file and the command line say. Relative paths are relative to pytest's rootdir.

        The test is skipped where there is no QEMU, or no KVM when that is asked for (with CI in
        the environment it fails), and fails in one sentence if the guest does not come up.
        """
        __tracebackhide__ = True
        try:
            asked: dict[str, Any] = {**settings.defaults(self._config), **how}
            key = repr(sorted(asked.items()))
            known = self._same.get(key)
            if known is not None and known.alive and not fresh:
                self._asked.append(known)
                return known
            recipe = settings.recipe_of(asked, self._config.rootpath)
            machine = machine_of(asked)
            _check_host(machine)
            guest = self._boot(recipe, machine)
        except PtliveError as error:
            raise failure(error) from None
        self._guests.append(guest)
        self._asked.append(guest)
        if not fresh:
            self._same[key] = guest
        return guest

    def _boot(self, recipe: Recipe, machine: Machine) -> BootedGuest:
        from ptlive.target import launch
        from ptlive.target.ready import wait_ready

        started = launch.start(recipe, machine, outlive=self._keep)
        try:
            return BootedGuest(wait_ready(started, recipe))
        except BaseException:
            guest = BootedGuest(started)
            self._failed = list(_logs(guest))
            guest.stop()
            raise

    def logs(self, item: pytest.Item) -> Iterator[tuple[str, str]]:
        """Yield titles and texts of what is to be told with a test that has failed."""
        yield from self._failed
        self._failed = []
        values = getattr(item, "funcargs", {}).values()
        mine = [one for one in values if isinstance(one, BootedGuest)]
        for guest in mine or self._asked or [one for one in self._guests if one.alive]:
            yield from _logs(guest)
            if self._keep and guest.alive:
                yield (
                    f"ptlive: {guest.name}",
                    f"it is left running: ptlive map --guest {guest.name}",
                )

    def next_test(self) -> None:
        """Forget what the test that is over has asked for."""
        self._asked = []

    def end(self, *, failed: bool) -> None:
        """End the guests, unless they are to be kept after a failure."""
        for guest in self._guests:
            if not (self._keep and failed):
                guest.stop()


def failure(error: PtliveError) -> BaseException:
    """Return what fails a test with a sentence alone, to be raised."""
    return pytest.fail.Exception(f"ptlive: {error}", pytrace=False)


def _logs(guest: BootedGuest) -> Iterator[tuple[str, str]]:
    from ptlive.show.terminal import plain

    for place, text in (("COM1", guest.serial), ("port 0xe9", guest.debug)):
        lines = text.replace("\r", "").split("\n")
        lines = lines[:-1] if not lines[-1] else lines
        if lines:
            more = len(lines) - _LAST_LINES
            first = [f"... {more:,} lines before"] if more > 0 else []
            told = [*first, *(plain(line) for line in lines[-_LAST_LINES:])]
            yield f"ptlive: {guest.name} on {place}", "\n".join(told)


def _check_host(machine: Machine) -> None:
    """Skip the test where it cannot be run; fail where that would go unseen."""
    __tracebackhide__ = True
    from ptlive.target.machine import QEMU

    why = None
    if not shutil.which(QEMU):
        why = f"{QEMU} is missing: install the package qemu-system-x86"
    else:
        try:
            machine.check_host()
        except PtliveError as error:
            why = str(error)
    if why is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"ptlive: {why} (with CI in the environment that is no skip)", pytrace=False)
    pytest.skip(f"ptlive: {why}")
