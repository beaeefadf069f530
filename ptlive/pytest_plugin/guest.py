"""A guest as tests have it: what it says, where its symbols are, held and let go."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from ptlive import Guest
    from ptlive.target.running import Guest as Running

_POLL_SECONDS = 0.02


class BootedGuest:
    """A guest that runs until the session ends, or `stop` is called.

    It may be used in a `with` block, at whose end it is stopped. Nothing here needs it to be
    held, and `wait_for`, `run_to` and `resume` need that it is not.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._held: Guest | None = None
        #: What it had written when it was stopped, its folder being gone since.
        self._last: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name for `ptlive guest list` and `--guest`."""
        return self._running.name

    @property
    def alive(self) -> bool:
        """Whether its QEMU runs."""
        return self._running.alive

    @property
    def serial(self) -> str:
        """What it has written to COM1 up to now."""
        return self._last[0] if self._last else _text(self._running.serial_log)

    @property
    def debug(self) -> str:
        """What it has written to port 0xe9 up to now."""
        return self._last[1] if self._last else _text(self._running.debug_log)

    @property
    def exit_code(self) -> int | None:
        """QEMU's exit status; None while it runs."""
        return self._running.exit_code

    @property
    def debug_exit(self) -> int | None:
        """What it has written to isa-debug-exit, if it ended by that."""
        return self._running.debug_exit

    def symbol(self, name: str) -> int:
        """Return the address of a symbol. Raises PtliveError if there is none of that name."""
        from ptlive.guests import own

        path = self._running.symbols
        return own.symbol(Path(path) if path else None, name)

    @contextmanager
    def attach(self) -> Iterator[Guest]:
        """Hold it, stopped, for a `with` block; blocks may be nested.

        Afterwards it is as before: it runs if it ran. Raises PtliveError if it has ended.
        """
        if self._held is not None:
            yield self._held
            return
        import ptlive

        self._check("ask")
        with ptlive.attach(self._running.gdb, was_running=self._runs()) as held:
            self._held = held
            try:
                yield held
            finally:
                self._held = None

    def wait_for(self, pattern: str, seconds: float = 10.0) -> re.Match[str]:
        """Wait until a regular expression matches what it has written, on COM1 or port 0xe9.

        Raises PtliveError, with its last words, if it ends or the time is over before.
        """
        self._free("wait for")
        deadline = time.monotonic() + seconds
        while True:
            over = not self.alive or time.monotonic() > deadline
            for text in (self.serial, self.debug):
                found = re.search(pattern, text.replace("\r", ""), re.MULTILINE)
                if found:
                    return found
            if over:
                raise self._late(f"'{pattern}' did not appear", seconds)
            time.sleep(_POLL_SECONDS)

    def run_to(self, place: str | int, seconds: float = 10.0) -> None:
        """Let it run until its first vCPU comes to a symbol or an address; there it stays stopped.

        Raises PtliveError if it does not come there; then it is stopped wherever it is.
        """
        from ptlive.target.attach import attach

        self._free("run")
        self._check("run")
        address = self.symbol(place) if isinstance(place, str) else place
        arrived = False
        try:
            with attach(self._running.gdb, was_running=False) as target:
                arrived = target.stub.run_to(1, address, seconds)
        except PtliveError:
            if self.alive:
                raise
        if not arrived:
            where = place if isinstance(place, str) else f"{place:#x}"
            raise self._late(f"it did not come to {where}", seconds)

    def resume(self) -> None:
        """Let it run on, where it is stopped. Raises PtliveError if it has ended."""
        from ptlive.wire.qmp import Qmp

        self._free("run")
        self._check("run")
        with Qmp(self._running.qmp) as qmp:
            qmp.command("cont")

    def wait_end(self, seconds: float = 10.0) -> int | None:
        """Wait until it ends by itself; return what it wrote to isa-debug-exit, if it did.

        Raises PtliveError, with its last words, if it does not end in time.
        """
        from ptlive.target import launch

        self._free("wait for")
        launch.wait_end(self._running, seconds)
        return self.debug_exit

    def stop(self) -> None:
        """End it. What it wrote can still be asked; stopping it twice does nothing."""
        from ptlive.target import launch

        self._last = (self.serial, self.debug)
        launch.stop(self._running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<guest {self.name}, {'running' if self.alive else 'ended'}>"

    def _runs(self) -> bool:
        from ptlive.wire.qmp import Qmp

        with Qmp(self._running.qmp) as qmp:
            return qmp.running()

    def _free(self, what: str) -> None:
        if self._held is not None:
            raise PtliveError(f"{self.name} is held: {what} it outside of its `with` block")

    def _check(self, what: str) -> None:
        if not self.alive:
            from ptlive.target.ready import how_ended

            raise PtliveError(f"there is no {self.name} to {what}: {how_ended(self._running)}")

    def _late(self, why: str, seconds: float) -> PtliveError:
        from ptlive.target.ready import how_ended, last_words

        over = (
            f"within {seconds:g} s"
            if self.alive
            else f"before it ended: {how_ended(self._running)}"
        )
        return PtliveError(
            f"guest {self.name}: {why} {over}; last words: {last_words(self._running)}"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
