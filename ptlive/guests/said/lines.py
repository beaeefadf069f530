"""A finished report in what a guest said on its serial port, where others speak too."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ptlive.errors import PtliveError

# [0-9], since \d takes the digits of all scripts.
NUMBER = r"[0-9]{1,15}"
WORD = r"0x[0-9a-f]{16}"

_PREFIX = "mapper: "


@dataclass
class Said:
    """The lines of one report, without their prefix; `lost` are those that did not come."""

    pid: int
    lines: list[str] = field(default_factory=list)
    lost: int = 0


def said_by(log: str, report: str) -> Said:
    """Return the last finished report of that name. Raises PtliveError if there is none."""
    begin = re.compile(rf"{report} begin pid=(?P<pid>{NUMBER})")
    end = re.compile(rf"{report} end lines=(?P<lines>{NUMBER})")
    found: Said | None = None
    current: Said | None = None
    for line in log.split("\n"):
        _, prefix, said = line.partition(_PREFIX)
        said = said.rstrip("\r")
        if not prefix:
            continue
        if started := begin.fullmatch(said):
            current = Said(number(started["pid"]))
        elif current and (ended := end.fullmatch(said)):
            # Its own line and the first one are counted too.
            current.lost = max(number(ended["lines"]) - 2 - len(current.lines), 0)
            found, current = current, None
        elif current:
            current.lines.append(said)
    if not found:
        raise PtliveError(f"the guest did not finish its {report}")
    return found


def number(text: str) -> int:
    """Return what a decimal number, or a hexadecimal one with 0x, says."""
    return int(text, 16 if text.startswith("0x") else 10)
