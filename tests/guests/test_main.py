"""`python -m ptlive.guests`: files of guests made ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.guests import __main__ as program
from ptlive.guests import debian

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def test_names_and_releases(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def provide_all(
        package: str, patterns: Sequence[str], _progress: object, release: str = ""
    ) -> list[Path]:
        asked.append((package, release))
        (tmp_path / "file").write_bytes(b"")
        return [tmp_path / "file" for _ in patterns]

    monkeypatch.setattr(debian, "provide_all", provide_all)
    assert program.main(["linux", "linux:bookworm-backports", "ovmf"]) == 0
    kernel, busybox = "linux-image-cloud-amd64", ("busybox-static", "")
    assert asked == [
        *((kernel, ""), busybox),
        *((kernel, "bookworm-backports"), busybox),
        ("ovmf", ""),
    ]
    assert program.main(["ovmf:bookworm"]) == 2
    assert "no guest 'ovmf:bookworm': there are menu, linux" in capsys.readouterr().err
