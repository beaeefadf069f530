"""Architectures: how the registers of a CPU become a format, its roots, and rules of access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.paging.architectures import aarch64, ppc64, riscv64, x86_64

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.paging.architectures.facts import Facts, Paging, Wanted

#: By the names that `ptlive.wire.architectures` has for them.
PAGING: dict[str, Callable[[Facts, Wanted], Paging]] = {
    "x86-64": x86_64.paging,
    "riscv64": riscv64.paging,
    "aarch64": aarch64.paging,
    "ppc64": ppc64.paging,
}
