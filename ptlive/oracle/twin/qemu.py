"""Which QEMU the twin is."""

from __future__ import annotations

import re
import subprocess

from ptlive.errors import PtliveError

_SECONDS = 10.0


def version_of(program: str) -> str:
    """Return the version that a QEMU states, such as "7.2.22 (Debian 1:7.2+dfsg-7)".

    Raises PtliveError for a program that is no QEMU for x86-64 guests.
    """
    try:
        done = subprocess.run(
            [program, "-machine", "none", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PtliveError(f"{program} is no QEMU: it does not end") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PtliveError(f"cannot run {program}: {reason}") from error
    said = re.match(rb"QEMU emulator version ([\x21-\x7e]+(?: \([\x20-\x7e]*\))?)", done.stdout)
    if done.returncode or said is None:
        raise PtliveError(f"{program} is no QEMU: it states no version")
    return said[1].decode("ascii")
