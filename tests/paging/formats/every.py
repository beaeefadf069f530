"""Every format that there is, and one that no hardware has."""

from __future__ import annotations

from ptlive.paging.formats import aarch64, bits32, ept, npt, pae, power, riscv, x86_64
from tests.paging.mock_format import MOCK

FORMATS = [
    x86_64.make_levels(4),
    x86_64.make_levels(5),
    pae.make(),
    bits32.make(),
    npt.nested(x86_64.make_levels(4)),
    npt.nested(pae.make()),
    ept.make(4),
    ept.make(5, ept.Features(mode_based=True)),
    *(riscv.make(name) for name in riscv.LEVELS),
    power.make(),
    aarch64.make(aarch64.Shape("4k", 48)),
    aarch64.make(aarch64.Shape("16k", 47, sets_dirty=True)),
    aarch64.make(aarch64.Shape("64k", 52, 52, wide=True)),
    MOCK,
]
