"""Which process answers: on unix sockets and TCP, and where it cannot be told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from ptlive.wire.peer import peer_pid

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 0), family=int(sys.argv[2]),
                              dualstack_ipv6=sys.argv[1] == "::")
print(server.getsockname()[1], flush=True)
kept = []
for line in sys.stdin:
    kept.append(server.accept())
    print("accepted", flush=True)
"""


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")],
)
def test_the_process_at_the_other_end_of_tcp(listens: str, asked: str) -> None:
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    command = [sys.executable, "-c", SERVER, listens, str(int(family))]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        # Two servers, so that one is not found by being the only one.
        servers = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            for _ in range(2)
        ]
        connections = []
        for server in servers:
            assert server.stdin is not None
            assert server.stdout is not None
            stack.callback(server.stdin.close)
            port = int(server.stdout.readline())
            connection = stack.enter_context(socket.create_connection((asked, port), 5))
            assert peer_pid(connection) is None, "nobody has accepted it"
            server.stdin.write("accept\n")
            server.stdin.flush()
            assert server.stdout.readline() == "accepted\n"
            connections.append(connection)
        assert [peer_pid(one) for one in connections] == [server.pid for server in servers]


def test_a_unix_socket_tells_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert peer_pid(client) == os.getpid()


def test_of_an_owner_that_may_not_be_looked_into_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = os.listdir

    def forbidden(path: str) -> list[str]:
        if path.endswith("/fd"):
            raise PermissionError
        return real(path)

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), 5) as client,
        server.accept()[0],
    ):
        assert peer_pid(client) == os.getpid()
        monkeypatch.setattr(os, "listdir", forbidden)
        assert peer_pid(client) is None


def test_a_connection_that_is_gone_has_no_peer() -> None:
    with socket.socket() as never:
        assert peer_pid(never) is None
