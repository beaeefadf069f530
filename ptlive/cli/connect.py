"""From options to an attached guest and its address spaces."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.answers.spaces import cpu_of
from ptlive.cli.hold import hold
from ptlive.cli.place import find_place
from ptlive.cli.spaces import wanted_spaces
from ptlive.cli.tell import tell, tell_notes
from ptlive.cli.torn import Changes
from ptlive.memory.cache import FrameCache
from ptlive.memory.live import Witness
from ptlive.show.terminal import heading, stdout
from ptlive.target import sources
from ptlive.target.attach import awake
from ptlive.target.cpu import read_cpus
from ptlive.target.process import orderly_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.arrays import Memory
    from ptlive.cli.options import TargetOptions
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest


@dataclass(frozen=True)
class Connection:
    """An attached guest and the address spaces that were asked for.

    running: the bundled guest that it is, if it is one
    witness: keeps what was read of a guest that runs (--live)
    scanned: what to look through all of RAM with: none of that is kept to be read again
    """

    target: Target
    running: Guest | None
    spaces: list[AddressSpace]
    guest: str
    notes: tuple[tuple[str, str], ...]
    scanned: Memory
    witness: Witness | None = None

    def changes(self) -> Changes | None:
        """Read again what was read of a running guest; None unless it was to be read so.

        Ask it inside the `with` block, once all else is read.
        """
        if self.witness is None:
            return None
        notes = []
        now = {cpu.vcpu: cpu.cr3 for cpu in read_cpus(self.target.stub)}
        for cpu in self.target.cpus:
            used = any(space.vcpu == cpu.vcpu for space in self.spaces)
            if used and now.get(cpu.vcpu) != cpu.cr3:
                text = f"CR3 of vCPU {cpu.vcpu} was {cpu.cr3:#x}, and is another by now"
                notes.append(("cr3-changed", text))
        return Changes.of(self.witness.torn(), notes)

    def print_root(self, space: AddressSpace) -> None:
        """Print of which root the following is, if there are several."""
        if len(self.spaces) > 1:
            stdout().print(heading(space.title))

    def envelope(
        self,
        command: str,
        results: list[dict[str, Any]],
        notes: Sequence[tuple[str, str]] = (),
        changes: Changes | None = None,
    ) -> dict[str, Any]:
        """Return what every JSON output has around the results, one for each space.

        notes: more of them, as (code, text); changes: what `changes` returned
        """
        late = self.target.file.late() if self.target.file else ()
        told = (*self.notes, *notes, *late, *(changes.notes if changes else ()))
        return {
            "schema": f"ptlive.{command}/1",
            "guest": self.guest,
            "memory": self.target.memory_source,
            "accelerator": self.target.accelerator,
            "notes": [{"code": code, "text": text} for code, text in told],
            **({"torn": changes.as_json()} if changes else {}),
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
    place = find_place(options)
    begun = time.monotonic()
    with orderly_signals(), ExitStack() as stack:
        held = stack.enter_context(hold(place, options))
        target = awake(held, options.vcpu) if let_run else held
        if place.debugger is not None:
            source = place.debugger.choose(target, options.memory)
        else:
            source = sources.choose(target, options.memory, place.guest, live=options.live)
        target = sources.with_source(target, source)
        scanned = target.memory
        witness = Witness(scanned) if options.live else None
        if witness is not None:
            target = replace(target, memory=FrameCache(witness))
        spaces = wanted_spaces(target, options, scanned)
        if target.file is not None:
            roots = np.concatenate([np.zeros(0, np.uint64), *(space.root for space in spaces)])
            target.file.check_roots(target.memory, roots)
        notes = _notes(target, spaces, options)
        connection = Connection(target, place.guest, spaces, place.name, notes, scanned, witness)
        tell_notes(connection.notes)
        if options.verbose:
            attached = time.monotonic() - begun
            for space in spaces:
                tell(
                    f"{place.name}, QEMU {target.version}, {target.accelerator}; "
                    f"vCPU {space.vcpu}, {space.title}, "
                    f"{space.format.name}; memory by {target.memory_source}; "
                    f"attached in {attached:.2f} s"
                )
            for why in source.why:
                tell(f"memory {why}")
        yield connection
    if target.file is not None:
        tell_notes(target.file.late())
    if options.verbose:
        tell(f"{time.monotonic() - begun:.2f} s in all")


def _notes(
    target: Target, spaces: list[AddressSpace], options: TargetOptions
) -> tuple[tuple[str, str], ...]:
    """Return what the reader of any result must know, as (code, text)."""
    notes = [("attach", text) for text in target.notes]
    notes += target.file.first if target.file else ()
    for name, text in {k: v for s in spaces for k, v in s.not_modelled.items()}.items():
        notes.append((f"not-modelled-{name.lower()}", f"{name}: {text}"))
    cpu = cpu_of(target, spaces[0].vcpu)
    if cpu.features.get("maxphyaddr", 0) is None:
        notes.append(
            ("maxphyaddr", "MAXPHYADDR is not known: address bits up to 51 count as valid")
        )
    if cpu.features.get("gbpages", 0) is None:
        notes.append(("page1gb", "whether the CPU has 1G pages is not known: they count as valid"))
    return tuple(notes)
