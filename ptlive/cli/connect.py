"""From options to an attached guest and its address spaces."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ptlive.errors import PtliveError
from ptlive.show.terminal import plain
from ptlive.space import open_space
from ptlive.target import running
from ptlive.target.attach import attach, awake
from ptlive.target.process import orderly_signals
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.cli.options import TargetOptions
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState
    from ptlive.target.running import Guest

DEFAULT = "localhost:1234"
MEMORY = "gdb"


@dataclass(frozen=True)
class Connection:
    """An attached guest and the address spaces that were asked for.

    running: the bundled guest that it is, if it is one
    """

    target: Target
    running: Guest | None
    spaces: list[AddressSpace]
    guest: str
    notes: tuple[tuple[str, str], ...]

    def envelope(
        self,
        command: str,
        results: list[dict[str, Any]],
        notes: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """Return what every JSON output has around the results, one for each space.

        notes: more of them, as (code, text)
        """
        return {
            "schema": f"ptlive.{command}/1",
            "guest": self.guest,
            "memory": MEMORY,
            "accelerator": self.target.accelerator,
            "notes": [{"code": code, "text": text} for code, text in (*self.notes, *notes)],
            "roots": [
                {
                    "root": hex(int(space.root[0])),
                    "format": space.format.name,
                    "origin": space.origin,
                    "result": result,
                }
                for space, result in zip(self.spaces, results, strict=True)
            ],
        }


@contextmanager
def connect(options: TargetOptions, *, let_run: bool = False) -> Iterator[Connection]:
    """Attach to the guest that the options name, and leave it as it was found.

    let_run: if the vCPU is halted, let the guest run until it wakes.
    """
    address, name, guest = _address(options)
    begun = time.monotonic()
    with orderly_signals(), ExitStack() as stack:
        qmp = stack.enter_context(Qmp(options.qmp)) if options.qmp else None
        try:
            held = stack.enter_context(attach(address, qmp=qmp))
        except PtliveError as error:
            if name != DEFAULT:
                raise
            raise PtliveError(f"{error}, and no bundled guest is running") from None
        target = awake(held, options.vcpu) if let_run else held
        spaces = [_space(target, options, root) for root in options.root or ("cr3",)]
        connection = Connection(target, guest, spaces, name, _notes(target, spaces, options))
        for _, text in connection.notes:
            tell(f"note: {text}")
        if options.verbose:
            attached = time.monotonic() - begun
            for space in spaces:
                tell(
                    f"{name}, QEMU {target.version}, {target.accelerator}; "
                    f"vCPU {space.vcpu}, root {int(space.root[0]):#x} ({space.origin}), "
                    f"{space.format.name}; memory by {MEMORY}; attached in {attached:.2f} s"
                )
        yield connection
    if options.verbose:
        tell(f"{time.monotonic() - begun:.2f} s in all")


def tell(line: str) -> None:
    """Tell the user something beside the results."""
    # Whatever serves the stub chose the words of some of this.
    click.echo(f"ptlive: {plain(line)}", err=True)


def _address(options: TargetOptions) -> tuple[str, str, Guest | None]:
    """Return the stub's address, what to call the guest, and the bundled guest that it is."""
    if options.guest and options.gdb:
        raise PtliveError("--guest and --gdb both say where the guest is; give one")
    if options.gdb:
        known = [guest for guest in running.guests() if guest.gdb == options.gdb]
        return options.gdb, options.gdb, known[0] if known else None
    guest = running.find(options.guest)
    return (guest.gdb, guest.name, guest) if guest else (DEFAULT, DEFAULT, None)


def _space(target: Target, options: TargetOptions, root: str) -> AddressSpace:
    kind, _, number = root.partition(":")
    vcpu = int(number) if kind == "vcpu" else options.vcpu
    return open_space(
        _cpu(target, vcpu),
        target.memory,
        target.ram_map,
        root=None if root == "cr3" or kind == "vcpu" else int(root, 0),
        origin=root if kind == "vcpu" else None,
        format_name=options.format,
        pkru=options.pkru,
    )


def _cpu(target: Target, vcpu: int) -> CpuState:
    for cpu in target.cpus:
        if cpu.vcpu == vcpu:
            return cpu
    numbers = ", ".join(str(cpu.vcpu) for cpu in target.cpus)
    raise PtliveError(f"the guest has no vCPU {vcpu}; it has {numbers}")


def _notes(
    target: Target, spaces: list[AddressSpace], options: TargetOptions
) -> tuple[tuple[str, str], ...]:
    """Return what the reader of any result must know, as (code, text)."""
    notes = [("attach", text) for text in target.notes]
    for name, text in {k: v for s in spaces for k, v in s.not_modelled.items()}.items():
        notes.append((f"not-modelled-{name.lower()}", f"{name}: {text}"))
    cpu = _cpu(target, spaces[0].vcpu)
    if cpu.maxphyaddr is None:
        notes.append(
            ("maxphyaddr", "MAXPHYADDR is not known: address bits up to 51 count as valid")
        )
    if cpu.gbpages is None:
        notes.append(("page1gb", "whether the CPU has 1G pages is not known: they count as valid"))
    return tuple(notes)
