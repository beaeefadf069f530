"""Runs inside gdb, in its own Python: many packets for one command.

gdb spends most of a `maint packet` on its command line and on telling of it, not on
the packet. gdb 12 and newer can send packets from Python.
"""

import gdb


class _Packets(gdb.Command):
    """ptlive-packets PACKET|PACKET...: send raw packets, print the replies in the same form."""

    def __init__(self) -> None:
        super().__init__("ptlive-packets", gdb.COMMAND_MAINTENANCE)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Send them in order."""
        connection = gdb.selected_inferior().connection
        if not isinstance(connection, gdb.RemoteTargetConnection):
            raise gdb.GdbError("no remote target is connected")
        replies = [connection.send_packet(packet) or b"" for packet in argument.split("|")]
        gdb.write("|".join(reply.decode("latin-1") for reply in replies) + "\n")


# An older gdb fails here, and is then driven packet by packet.
assert hasattr(gdb, "RemoteTargetConnection")
_Packets()
