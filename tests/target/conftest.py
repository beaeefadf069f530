"""Guests for the tests of attaching: one a test, since each is left as it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.qemu_process import Qemu, still_guest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["running", "stopped"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Qemu]:
    with still_guest(tmp_path, stopped=request.param == "stopped", vcpus=2) as qemu:
        yield qemu
