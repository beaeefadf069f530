"""The stub's XML: numbers and places as the gdb manual says, and nothing endless."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.errors import PtliveError
from ptlive.wire.registers import Register, RegisterLayout
from ptlive.wire.target_xml import registers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.wire.gdb_stub import GdbStub
    from ptlive.wire.packet_stub import PacketStub

TARGET = b"""<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
<target><architecture>i386:x86-64</architecture><xi:include href="core.xml"/>
<xi:include href="more.xml"/></target>"""
CORE = b"""<!DOCTYPE target SYSTEM "gdb-target.dtd">
<feature name="core"><!-- <reg name="old" bitsize="64"/> -->
<flags id="f" size="4"><field name="CF" start="0" end="0"/></flags>
<reg name="rax" bitsize="64" type="int64" regnum="0"/>
<reg name="flags" bitsize="32" type="f"/>
<reg name="st0" bitsize="80" type="i387_ext" regnum="5"/>
<reg name="after" bitsize="64"/></feature>"""
MORE = b"""<feature name="more"><reg name="between" bitsize="16" regnum="3"/></feature>"""


def serve(documents: dict[str, bytes], size: int = 4096) -> Callable[[bytes], bytes]:
    """What a stub answers to `qXfer`, cut as it is asked for."""

    def ask(packet: bytes) -> bytes:
        found = re.fullmatch(rb"qXfer:features:read:(.*):([0-9a-f]+),([0-9a-f]+)", packet)
        assert found
        text = documents.get(found[1].decode())
        if text is None:
            return b"E00"
        at, length = int(found[2], 16), int(found[3], 16)
        assert length <= size
        return (b"m" if at + length < len(text) else b"l") + text[at : at + length]

    return ask


@pytest.mark.parametrize("size", [4096, 60])
def test_places_follow_the_numbers_over_all_documents(size: int) -> None:
    ask = serve({"target.xml": TARGET, "core.xml": CORE, "more.xml": MORE}, size)
    assert registers(ask, size) == {
        "rax": Register(0, 0, 8),
        "flags": Register(1, 8, 4),
        "between": Register(3, 12, 2),
        "st0": Register(5, 14, 10),
        "after": Register(6, 24, 8),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "cannot be read"),
        (b"<target>", "cannot be read"),
        (b"<target><reg name='a'/></target>", "cannot be read"),
        (b"<target><reg name='a' bitsize='x'/></target>", "cannot be read"),
        (b"<target><reg name='a' bitsize='99999999'/></target>", "out of bounds"),
        (b"<target><reg name='a' bitsize='8' regnum='-1'/></target>", "out of bounds"),
        (b"<target>" + b"<reg name='a' bitsize='8' regnum='1'/>" * 2 + b"</target>", "too many"),
        (b"<target>" + b"<reg name='a' bitsize='8'/>" * 5000 + b"</target>", "too many"),
        (b"<target><xi:include href='target.xml'/></target>", "does not end"),
        (b"<target><xi:include href='none.xml'/></target>", "does not describe"),
        (b"<target><xi:include/></target>", "cannot be read"),
        (b"<!DOCTYPE t [<!ENTITY a 'aaaa'>]><target>&a;</target>", "declares an entity"),
        (b"<target>" + b" " * (1 << 20), "does not describe"),
    ],
)
def test_what_is_no_description_is_one_sentence(text: bytes, sentence: str) -> None:
    with pytest.raises(PtliveError, match=sentence):
        registers(serve({"target.xml": text}), 4096)


def test_a_chain_of_documents_ends() -> None:
    chain = {f"{n}.xml": b"<f><xi:include href='%d.xml'/></f>" % (n + 1) for n in range(1000)}
    with pytest.raises(PtliveError, match="does not end"):
        registers(serve(chain | {"target.xml": chain["0.xml"]}), 4096)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_an_error(text: bytes) -> None:
    try:
        assert isinstance(registers(serve({"target.xml": text}), 4096), dict)
    except PtliveError:
        return


@given(st.binary(max_size=20))
def test_any_reply_is_a_description_or_an_error(reply: bytes) -> None:
    try:
        assert isinstance(registers(lambda _: reply, 4096), dict)
    except PtliveError:
        return


@pytest.mark.qemu
def test_gdb_understands_the_same(gdb_stub: GdbStub, packet_stub: PacketStub) -> None:
    ours, gdbs = packet_stub._layout, gdb_stub._layout
    assert isinstance(gdbs, RegisterLayout)
    assert ours.registers == gdbs.registers
    assert len(ours.registers) > 30
