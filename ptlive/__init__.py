"""Live page-table analysis of x86-64 guests under QEMU, verified by the guest's own MMU.

The library is documented in api/README.md. What it offers is imported when it is first asked
for, so that `import ptlive` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.api.audit import Findings
    from ptlive.api.differences import Difference, Differences
    from ptlive.api.guest import Guest, attach
    from ptlive.api.guest import open as open  # noqa: A004 - called as ptlive.open
    from ptlive.api.launch import boot, launch
    from ptlive.api.mappings import Mapping, Mappings
    from ptlive.api.regions import Region, Regions
    from ptlive.api.report import Report
    from ptlive.api.rights import Rights
    from ptlive.api.roots import Root, Roots
    from ptlive.api.session import Session
    from ptlive.api.space import AddressSpace
    from ptlive.api.stop import Breakpoint, Stop
    from ptlive.api.translation import Fault, Translation
    from ptlive.errors import PtliveError

__version__ = "0.1.0"

__all__ = [
    "AddressSpace",
    "Breakpoint",
    "Difference",
    "Differences",
    "Fault",
    "Findings",
    "Guest",
    "Mapping",
    "Mappings",
    "PtliveError",
    "Region",
    "Regions",
    "Report",
    "Rights",
    "Root",
    "Roots",
    "Session",
    "Stop",
    "Translation",
    "__version__",
    "attach",
    "boot",
    "launch",
    "open",
]

_HOMES = {
    "Breakpoint": "api.stop",
    "Stop": "api.stop",
    "Session": "api.session",
    "AddressSpace": "api.space",
    "Difference": "api.differences",
    "Differences": "api.differences",
    "Fault": "api.translation",
    "Findings": "api.audit",
    "Guest": "api.guest",
    "Mapping": "api.mappings",
    "Mappings": "api.mappings",
    "PtliveError": "errors",
    "Region": "api.regions",
    "Regions": "api.regions",
    "Report": "api.report",
    "Rights": "api.rights",
    "Root": "api.roots",
    "Roots": "api.roots",
    "Translation": "api.translation",
    "attach": "api.guest",
    "boot": "api.launch",
    "launch": "api.launch",
    "open": "api.guest",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ptlive' has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"ptlive.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
