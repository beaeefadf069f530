"""What ptlive does whenever the guest stops; nothing of it that fails stands in gdb's way."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import gdb

from ptlive.answers.spaces import PlainView, space_at
from ptlive.cli import inside
from ptlive.cli.options import TargetOptions
from ptlive.cli.tell import tell
from ptlive.errors import PtliveError
from ptlive.gdb.link import selected_vcpu
from ptlive.gdb.output import output
from ptlive.gdb.session import Session
from ptlive.show.terminal import plain
from ptlive.target import sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ptlive.paging.format import Format
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target


class Hook(Protocol):
    """Something that looks at the guest at each stop."""

    @property
    def name(self) -> str:
        """Which command it belongs to."""
        ...

    @property
    def active(self) -> bool:
        """Whether it has anything to do."""
        ...

    def at_stop(self, event: gdb.StopEvent, target: Target) -> None:
        """Look at the guest, and print what is to be told."""
        ...


@contextmanager
def guest(*, quietly: bool = False) -> Iterator[Target]:
    """Look at gdb's guest for a `with` block, through the fastest way to its memory.

    quietly: without a command of gdb, so with the memory map as it was known
    """
    session = inside.debugger()
    assert isinstance(session, Session)
    with session.hold(known_map=quietly) as target:
        yield sources.with_source(target, session.choose(target, sources.AUTO))


def commands_wait(event: gdb.StopEvent) -> bool:
    """Tell whether a breakpoint that stopped the guest has commands, which are yet to be run.

    python.c, execute_gdb_command: any command that we have gdb execute runs these first, and
    they may let the guest run.
    """
    if not isinstance(event, gdb.BreakpointEvent):
        return False
    return any(not one.is_valid() or one.commands for one in event.breakpoints)


def options(*root: str) -> TargetOptions:
    """Return the options that mean gdb's guest, its selected vCPU, and these roots, or CR3."""
    return TargetOptions(
        guest=None,
        gdb=None,
        qmp=None,
        root=root,
        vcpu=selected_vcpu(),
        format=None,
        pkru=None,
        json=False,
        verbose=False,
    )


def named(space: AddressSpace) -> str:
    """Return what to call an address space: its root, and where that came from, if it tells."""
    address = f"{int(space.root[0]):#x}"
    return f"root {address}" if space.origin == address else space.title


def used_roots(target: Target, fmt: Format) -> dict[int, int]:
    """Return by vCPU the root that each uses, of those that page as this format says."""
    used = {}
    for cpu in target.cpus:
        with suppress(PtliveError):  # its paging is off
            space = space_at(target, PlainView(cpu.vcpu), "cr3")
            if space.format.name == fmt.name:
                used[cpu.vcpu] = int(space.root[0])
    return used


class Stops:
    """Asks the hooks, in their order, at each stop."""

    def __init__(self, session: Session, hooks: Sequence[Hook]) -> None:
        self._session, self._hooks = session, hooks
        gdb.events.stop.connect(self._stopped)

    def _stopped(self, event: gdb.StopEvent) -> None:
        hooks = [hook for hook in self._hooks if hook.active]
        if not hooks:
            return
        try:
            # To know whether a terminal shows it may take a command, where width has no limit.
            styled = gdb.parameter("width") is not None
            quietly = commands_wait(event)
            with output((), from_tty=styled), guest(quietly=quietly) as target:
                for hook in hooks:
                    _ask(hook, event, target)
        except (PtliveError, gdb.error) as error:
            names = " and ".join(hook.name for hook in hooks)
            _say(f"{names} cannot look at this stop: {error}")
        except KeyboardInterrupt:
            _say("interrupted: what changed before this stop is not told")
        finally:
            self._session.leave()


def _ask(hook: Hook, event: gdb.StopEvent, target: Target) -> None:
    try:
        hook.at_stop(event, target)
    except (PtliveError, gdb.error) as error:
        tell(f"{hook.name} cannot look at this stop: {error}")
    except Exception as error:  # a defect of ours, of which gdb would print a page
        tell(f"{hook.name} fails at this stop: {type(error).__name__}: {error}")


def _say(line: str) -> None:
    gdb.write(f"ptlive: {plain(line)}\n", gdb.STDERR)
