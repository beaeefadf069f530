"""The public interface as text: every name, the fields and methods of every class, signatures."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from typing import TYPE_CHECKING

import ptlive

if TYPE_CHECKING:
    from collections.abc import Iterator


def listing() -> Iterator[str]:
    """Yield a line for each name."""
    for name in ptlive.__all__:
        value = getattr(ptlive, name)
        if inspect.isclass(value):
            yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
            yield from (f"    {line}" for line in _members(value))
        elif callable(value):
            yield f"{name}{inspect.signature(value)}"
        else:
            yield name


def _members(kind: type) -> Iterator[str]:
    if dataclasses.is_dataclass(kind):
        yield from (
            f"{field.name}: {field.type}"
            for field in dataclasses.fields(kind)
            if not field.name.startswith("_")
        )
    elif kind is ptlive.Session:
        yield f"__init__{inspect.signature(ptlive.Session.__init__)}"
    elif "__init__" in vars(kind):
        yield from _attributes(kind)
    members = {
        name: value
        for base in reversed(kind.__mro__)
        if base.__module__.startswith("ptlive.")
        for name, value in vars(base).items()
    }
    for name, value in sorted(members.items()):
        if name.startswith("_"):
            continue
        if isinstance(value, classmethod):
            yield f"{name}{inspect.signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"{name}{inspect.signature(value)}"
        elif isinstance(value, property):
            assert value.fget is not None
            yield f"{name}: {inspect.signature(value.fget).return_annotation}"


def _attributes(kind: type) -> Iterator[str]:
    """Yield what a class sets on itself when it is made."""
    for node in ast.walk(ast.parse(inspect.getsource(kind))):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in [each for one in targets for each in getattr(one, "elts", [one])]:
                if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                    yield target.attr


if __name__ == "__main__":
    for line in listing():
        print(line)
