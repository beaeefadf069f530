"""Progress of long work, on stderr and only on a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ptlive.show.terminal import stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that is told (what, done, all) as the work goes on."""
    if not stderr().is_terminal:
        yield lambda *_: None
        return
    from rich import progress as rich  # costs 30 ms, and only a terminal needs it

    name, elapsed = rich.TextColumn("{task.description}"), rich.TimeElapsedColumn()
    count = rich.TextColumn("{task.completed:,.0f} of {task.total:,.0f}")
    remaining = rich.TimeRemainingColumn()
    shown = (name, rich.BarColumn(), count, elapsed, "left", remaining)
    tasks = {}
    with rich.Progress(*shown, console=stderr(), transient=True) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell
