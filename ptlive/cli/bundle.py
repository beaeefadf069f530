"""Options that several commands share: one argument of the command, one heading in its help."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    F = TypeVar("F", bound=Callable[..., Any])

OWN = "Options"
# The column in which help begins, the same under all headings; longer names stand above theirs.
_WIDTH = 28


class Option(click.Option):
    """An option with the heading under which its help stands."""

    def __init__(self, *args: Any, heading: str = OWN, **more: Any) -> None:
        super().__init__(*args, **more)
        self.heading = heading


class Command(click.Command):
    """A command whose help has its own options first, and the others under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        last = OWN
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and not isinstance(param, click.Argument):
                # --help is click's own, and comes last.
                is_help = param.name == "help"
                last = last if is_help else getattr(param, "heading", OWN)
                groups.setdefault(last, []).append((record[0].ljust(_WIDTH), record[1]))
        for heading in sorted(groups, key=lambda name: name != OWN):
            with formatter.section(heading):
                formatter.write_dl(groups[heading], col_max=_WIDTH)


def option(*names: str, heading: str, **more: Any) -> Callable[[F], F]:
    """Return `click.option` for an option under a heading."""
    return click.option(*names, cls=Option, heading=heading, **more)


def bundle(
    argument: str,
    make: Callable[..., Any],
    options: Sequence[Callable[[F], F]],
) -> Callable[[F], F]:
    """Give a command options whose values come as one argument.

    make: called with the values by name; its parameters have the names that click has for them
    """
    names = tuple(inspect.signature(make).parameters)

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            made = make(**{name: values.pop(name) for name in names})
            return command(**{argument: made}, **values)

        wrapped: Any = wrapper
        for one in reversed(options):
            wrapped = one(wrapped)
        result: F = wrapped
        return result

    return decorate
