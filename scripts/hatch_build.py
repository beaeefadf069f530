"""Build hook: compile the guests, so that they travel in the wheel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GUESTS = ("menu.elf", "prober.elf", "mapper.elf", "domain.elf")


class GuestHook(BuildHookInterface[Any]):
    """Run `make -C guest` and add what it makes to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Do so for a real wheel; an editable one uses the checkout's own guests."""
        if self.target_name != "wheel" or version == "editable":
            return
        for tool in ("make", "gcc", "ld"):
            if not shutil.which(tool):
                raise RuntimeError(f"{tool} is missing: building a wheel compiles the guests")
        root = Path(self.root)
        subprocess.run(["make", "-s", "-C", str(root / "guest")], check=True)
        for name in GUESTS:
            built = root / "ptlive" / "guests" / name
            build_data["force_include"][str(built)] = f"ptlive/guests/{name}"
