"""Every snippet of the library's page is run, on a real Linux whose symbols are at hand."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.target import prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

PAGE = Path(ptlive.__file__).parent / "api/README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def symbols(linux_guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    # All of it takes long on a serial port; these show that it is this kernel's, and whose it is.
    names = "_text|_etext|__start_rodata|__end_rodata|linux_banner|handle_mm_fault|init_task"
    said = prompt.ask(linux_guest, f"grep -E ' ({names})$' /proc/kallsyms")
    (folder / "System.map").write_text(said)
    return folder


@pytest.fixture
def busy(linux_guest: Guest) -> Iterator[None]:
    """Have the guest do something while the test runs: processes that begin, and fault."""
    done = threading.Event()

    def work() -> None:
        address = linux_guest.serial.removeprefix("unix:")
        with suppress(OSError), socket.socket(socket.AF_UNIX) as serial:
            serial.connect(address)
            while not done.wait(0.2):
                serial.sendall(b"ls /proc > /dev/null\n")

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


def test_the_page_has_what_it_is_about() -> None:
    assert len(SNIPPETS) >= 3
    said = PAGE.read_text()
    for name in ptlive.__all__:
        value = getattr(ptlive, name)
        if callable(value) and name.islower():
            assert f"ptlive.{name}" in said


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_does_what_it_says(
    snippet: str, symbols: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(symbols)
    exec(compile(snippet, str(PAGE), "exec"), {"ptlive": ptlive})
    said = capsys.readouterr()
    assert said.err == ""
    if "handle_mm_fault" in snippet:
        assert "handle_mm_fault" in said.out
    if "verify()" in snippet:
        assert "0 disagreements in" in said.out
