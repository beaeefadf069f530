"""Assertions about accesses: may they happen, or does the CPU raise a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.pytest_plugin.said import message, path_lines, range_text

if TYPE_CHECKING:
    from ptlive import AddressSpace


def assert_allowed(space: AddressSpace, va: int, *accesses: str, length: int = 1) -> None:
    """Assert that accesses to an address may happen, by the tables and the control registers.

    accesses: supervisor- or user-read, -write or -fetch; supervisor-read-ac and -write-ac are
    with RFLAGS.AC set; length: of each, in bytes
    """
    __tracebackhide__ = True
    found = space.translate(va, length=length)
    faults = [fault for fault in map(found.fault, accesses) if fault is not None]
    if faults:
        raise AssertionError(
            message(
                f"{range_text(va, va)} should allow {', '.join(accesses)}",
                [f"{fault.access}: {fault}" for fault in faults],
                path_lines(found),
            )
        )


def assert_faults(
    space: AddressSpace, va: int, *accesses: str, error_code: int | None = None, length: int = 1
) -> None:
    """Assert that accesses to an address fault, with this error code if one is named."""
    __tracebackhide__ = True
    found = space.translate(va, length=length)
    faults = {access: found.fault(access) for access in accesses}
    allowed = [access for access, fault in faults.items() if fault is None]
    other = [
        fault for fault in faults.values() if fault and error_code not in (None, fault.error_code)
    ]
    if allowed or other:
        code = "" if error_code is None else f" with error code {error_code:#x}"
        raise AssertionError(
            message(
                f"{range_text(va, va)} should fault{code} on {', '.join(accesses)}",
                [f"{access}: allowed" for access in allowed],
                [f"{fault.access}: {fault}" for fault in other],
                path_lines(found),
            )
        )
