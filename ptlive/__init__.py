"""Live page-table analysis of x86-64 guests under QEMU, verified by the guest's own MMU.

The library is documented in api/README.md. What it offers is imported when it is first asked
for, so that `import ptlive` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.api.guest import Guest, attach
    from ptlive.api.guest import open as open  # noqa: A004 - called as ptlive.open
    from ptlive.api.regions import Region, Regions
    from ptlive.api.report import Report
    from ptlive.api.rights import Rights
    from ptlive.api.space import AddressSpace
    from ptlive.api.translation import Fault, Translation
    from ptlive.errors import PtliveError

__version__ = "0.1.0"

__all__ = [
    "AddressSpace",
    "Fault",
    "Guest",
    "PtliveError",
    "Region",
    "Regions",
    "Report",
    "Rights",
    "Translation",
    "__version__",
    "attach",
    "open",
]

_HOMES = {
    "AddressSpace": "api.space",
    "Fault": "api.translation",
    "Guest": "api.guest",
    "PtliveError": "errors",
    "Region": "api.regions",
    "Regions": "api.regions",
    "Report": "api.report",
    "Rights": "api.rights",
    "Translation": "api.translation",
    "attach": "api.guest",
    "open": "api.guest",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ptlive' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"ptlive.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
