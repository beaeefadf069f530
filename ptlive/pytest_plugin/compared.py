"""Assertions that hold tables against the MMU, and against what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.pytest_plugin.said import message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ptlive import AddressSpace


def assert_verified(
    space: AddressSpace, ranges: Iterable[tuple[int, int]] | None = None, **how: Any
) -> None:
    """Assert that the MMU agrees with what the tables say, about everything or ranges.

    how: as for `AddressSpace.verify`. A property that was never checked fails, too.
    """
    __tracebackhide__ = True
    report = space.verify(None if ranges is None else list(ranges), **how)
    if not report.ok:
        first, *rest = str(report).splitlines()
        raise AssertionError(message(f"the MMU should agree: {first}", rest))


def assert_unchanged(
    before: AddressSpace,
    after: AddressSpace,
    ranges: Iterable[tuple[int, int]] | None = None,
    *,
    ignore: Collection[str] = ("ad",),
) -> None:
    """Assert that nothing is mapped otherwise than before, anywhere or in ranges.

    before: what `AddressSpace.freeze` has kept; ignore: kinds of changes, see `Difference`. A and
    D are ignored unless said otherwise: the MMU sets them by itself.
    """
    __tracebackhide__ = True
    changes = before.diff(after, None if ranges is None else list(ranges), ignore=ignore)
    if changes:
        first, *rest = str(changes).splitlines()
        raise AssertionError(message(f"nothing should have changed: {first}", rest))
