"""`ptlive doctor`, and the versions that `ptlive --version` tells."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

import ptlive
from ptlive.cli.main import DONE, FAILED
from ptlive.show.json import print_json
from ptlive.show.terminal import plain, stdout, verdict
from ptlive.target.doctor import examine, program_version
from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Tell what ptlive finds on this computer: what is missing or slow, and why.

    Exit status 2 if something is missing without which nothing works.
    """
    checks = examine()
    failed = any(check.ok is False for check in checks)
    if as_json:
        value = [dataclasses.asdict(check) for check in checks]
        print_json({"schema": "ptlive.doctor/1", "checks": value})
        return FAILED if failed else DONE
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = {True: "ok", None: "note", False: "missing"}[check.ok]
        line = verdict(f"{mark:8}", good=check.ok)
        stdout().print(line.append(f"{check.name:{width}}  {plain(check.text)}", style="default"))
        if check.advice:
            stdout().out(f"{'':8}{'':{width}}  {plain(check.advice)}", highlight=False)
    return FAILED if failed else DONE


def versions() -> Iterator[str]:
    """Yield ptlive's version, QEMU's and gdb's."""
    yield f"ptlive {ptlive.__version__}"
    for name, program in (("QEMU", QEMU), ("gdb", "gdb")):
        yield f"{name} {program_version(program) or 'missing'}"
