"""The parent's hold on its guard process; see `guard_process` for why there is one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.preflight import Preflight

if TYPE_CHECKING:
    from ptlive.wire.gdb import GdbMi

_PACKAGES = Path(__file__).resolve().parents[2]

# `-I -S`: no site packages, nothing of the environment, so that it starts in a few
# hundredths of a second. The rest of ptlive's own dependencies is not imported.
_PROGRAM = (
    f"import os, sys; sys.path.insert(0, {str(_PACKAGES)!r}); "
    "from ptlive.target.guard_process import main; os._exit(main())"
)

# Longer than all that the guard waits for by itself.
_PATIENCE = 20.0


class Guard:
    """One guard process, watching over one gdb and the stub at `address`.

    It starts by asking the stub what `ptlive.wire.preflight` asks, which stops the guest.
    """

    def __init__(self, address: str, gdb: GdbMi) -> None:
        descriptor = os.pidfd_open(gdb.pid)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, address, str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Inherited so that gdb's input does not end with us.
                pass_fds=(descriptor, gdb.stdin),
                start_new_session=True,
                text=True,
            )
        finally:
            os.close(descriptor)
        self._released = False

    def preflight(self) -> Preflight:
        """Return what the stub told. Raises PtliveError with the guard's reason."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        report = json.loads(line or '{"error": "the guard process ended unexpectedly"}')
        if "error" in report:
            raise PtliveError(report["error"])
        return Preflight(**report)

    def send(self, line: str) -> None:
        """Hand one line over; once this returns, the guard will read it whatever happens.

        Raises PtliveError when the guard is gone: nothing may be changed without it.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PtliveError("the process that guards the guest's state has ended") from None

    def set_resume(self, resume: bool) -> None:
        """Tell whether the guest shall run again, if that is known better than it saw."""
        self.send(f"resume {int(resume)}")

    def close(self, *, release: bool) -> bool:
        """End the guard: released from its duty, or doing it now.

        Returns whether the guest is as it was found.
        """
        assert self._process.stdin is not None
        if release:
            with contextlib.suppress(PtliveError):
                self.send("release")
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        try:
            return self._process.wait(_PATIENCE) == 0
        except subprocess.TimeoutExpired:
            # It goes on alone, and ends by itself.
            return False
