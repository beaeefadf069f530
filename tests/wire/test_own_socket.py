"""Which of a process's own connections is the one to a stub."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from ptlive.wire.own_socket import far_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Listens at a path as it is given, which may be relative, until its input ends.
_LISTEN = (
    "import socket, sys; one = socket.socket(socket.AF_UNIX); one.bind(sys.argv[1]); one.listen(); "
    "print(flush=True); sys.stdin.read()"
)


@pytest.fixture
def two_stubs(tmp_path: Path) -> Iterator[dict[str, int]]:
    """Two processes that listen in folders of their own, and we are connected to both."""
    pids = {}
    with ExitStack() as stack:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            process = subprocess.Popen(
                [sys.executable, "-c", _LISTEN, "gdb.sock"],
                cwd=tmp_path / folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.enter_context(process)
            assert process.stdout is not None
            process.stdout.readline()
            path = os.path.relpath(tmp_path / folder / "gdb.sock")
            connection = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
            connection.connect(path)
            pids[path] = process.pid
        yield pids


def test_of_two_with_the_same_name_it_is_the_one_at_that_path(two_stubs: dict[str, int]) -> None:
    for path, pid in two_stubs.items():
        end = far_end(path)
        assert end is not None
        assert end.pid == pid
        assert end.address == f"unix:{os.path.abspath(path)}"


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0.1", "tcp:localhost"])
def test_a_port_of_this_machine(host: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0],
    ):
        port = server.getsockname()[1]
        end = far_end(f"{host}:{port}")
        assert end is not None
        assert end.address == f"127.0.0.1:{port}"
        assert far_end(f"127.0.0.2:{port}") is None


def test_what_is_no_connection_of_ours_has_no_far_end() -> None:
    assert far_end("| nc somewhere 1234") is None
    assert far_end("/nowhere/gdb.sock") is None
