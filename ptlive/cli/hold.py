"""Enter a guest by the door that the options name: its stub, its QMP, a file, our debugger."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ptlive.cli.place import DEFAULT
from ptlive.errors import PtliveError
from ptlive.target.attach import attach
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.cli.options import TargetOptions
    from ptlive.cli.place import Place
    from ptlive.target.attach import Target


@contextmanager
def hold(place: Place, options: TargetOptions) -> Iterator[Target]:
    """Attach to the stub, or look at the guest through QMP alone, at a file, at the debugger's."""
    # Two of the three are seldom needed, and every import is felt at the start of a command.
    if place.file is not None:
        from ptlive.target.from_file.open import open_file

        yield open_file(place.file, options.assume)
        return
    with ExitStack() as stack:
        qmp = stack.enter_context(Qmp(place.qmp)) if place.qmp else None
        if place.debugger is not None:
            yield stack.enter_context(place.debugger.hold(qmp))
            return
        if place.gdb is None:
            assert qmp is not None
            from ptlive.target.by_qmp import attach_by_qmp

            yield stack.enter_context(attach_by_qmp(qmp, live=options.live))
            return
        try:
            held = stack.enter_context(attach(place.gdb, qmp=qmp, transport=place.transport))
        except PtliveError as error:
            if place.name != DEFAULT:
                raise
            raise PtliveError(f"{error}, and no bundled guest is running") from None
        yield held
