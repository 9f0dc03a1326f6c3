"""The cases of the Autobahn test suite, by their numbers, against both sides of our WebSocket.

The suite itself wants Python 2.7 and libraries of its time.  Sections 1-7 and 10 are here as they
are there, 9 in small; 12 and 13 are about compression, which we never negotiate.

A transport is driven in two ways: it receives and echoes, which is what the suite demands, or
nobody receives until the connection has ended, so that everything has to be read ahead.

Where the suite demands that the connection fails, ours fails with the right code, and tells it in
`closed`; no close frame with it is written, since trio-websocket hangs up without one.  RFC 6455
section 7.1.7 only says that there should be one.
"""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing
from websocket_peers import BINARY, CLOSE, PING, PONG, TEXT, receive_all
from websocket_raw import FIN, Frame, RawPeer, close, fragments, open_raw, pieces, whole

from realtime_trio._transport.websocket import WebSocketTransport
from realtime_trio.errors import ConnectionLost

pytestmark = pytest.mark.socket

sides = pytest.mark.parametrize("side", ["client", "server"])


@pytest.fixture(autouse=True)
def _what_nobody_receives_is_soon_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_trio._transport.websocket._FIRST_LOOK_S", 0.001)


@attrs.frozen
class Case:
    """What a peer sends, and what has to come of it."""

    frames: list[Frame]
    received: list[str | bytes] = attrs.field(factory=list)
    """The messages that the transport receives."""
    code: int | None = None
    """The code that the connection ends with by itself; without one, the peer says goodbye."""
    reason: str | None = None
    """The reason that it ends with, if that matters."""
    chop: int | None = None
    """How many bytes are sent at once; without one, everything."""

    @property
    def pongs(self) -> list[bytes]:
        return [frame.payload for frame in self.frames if frame.first == FIN | PING]


def text(payload: str) -> Frame:
    return whole(TEXT, payload.encode())


def binary(payload: bytes) -> Frame:
    return whole(BINARY, payload)


def ping(payload: bytes = b"") -> Frame:
    return whole(PING, payload)


def pong(payload: bytes = b"") -> Frame:
    return whole(PONG, payload)


HELLO_TEXT = "Hello, world!"
HELLO = text(HELLO_TEXT)
ENDLESS_HELLO = fragments(TEXT, b"fragment1", b"fragment2")
LENGTHS = [0, 125, 126, 127, 128, 65535, 65536]


def framing() -> dict[str, Case]:
    cases = {}
    for number, size in enumerate(LENGTHS, 1):
        # Octet by octet takes too long for the long ones; the suite takes 997 of them at once.
        for name, chop in [("", None), (" chopped", 1 if size < 1000 else 997)]:
            cases[f"1.1.{number}{name}"] = Case([text("*" * size)], ["*" * size], chop=chop)
            cases[f"1.2.{number}{name}"] = Case(
                [binary(b"\xfe" * size)], [b"\xfe" * size], chop=chop
            )
    return cases


PINGS = {
    "2.1 empty": Case([ping()]),
    "2.2 text": Case([ping(b"Hello, world!")]),
    "2.3 binary": Case([ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")]),
    "2.4 the longest": Case([ping(b"\xfe" * 125)]),
    "2.5 too long": Case([Frame(FIN | PING, b"\xfe" * 126)], code=1002),
    "2.6 chopped": Case([ping(b"\xfe" * 125)], chop=1),
    "2.7 an unsolicited pong": Case([pong()]),
    "2.8 an unsolicited pong with a payload": Case([pong(b"unsolicited pong payload")]),
    "2.9 an unsolicited pong and a ping": Case([pong(b"unsolicited"), ping(b"ping payload")]),
    "2.10 ten": Case([ping(b"payload-%d" % number) for number in range(10)]),
    "2.11 ten chopped": Case([ping(b"payload-%d" % number) for number in range(10)], chop=1),
}


def reserved_bits() -> dict[str, Case]:
    def frame(bits: int, opcode: int, payload: bytes = b"") -> Frame:
        return Frame(FIN | bits << 4 | opcode, payload)

    cases = {
        "3.1 in a text": Case([frame(4, TEXT, b"Hello")], code=1002),
        "3.2 behind a message": Case([HELLO, frame(2, TEXT, b"H"), ping()], [HELLO_TEXT], 1002),
        "3.3 behind a message, chopped": Case(
            [HELLO, frame(3, TEXT, b"H"), ping()], [HELLO_TEXT], 1002, chop=19
        ),
        "3.4 behind a message, octet by octet": Case(
            [HELLO, frame(1, TEXT, b"H"), ping()], [HELLO_TEXT], 1002, chop=1
        ),
        "3.5 in binary": Case([frame(5, BINARY, b"\x00\xff\xfe")], code=1002),
        "3.6 in a ping": Case([frame(6, PING, b"Hello")], code=1002),
        "3.7 in a close frame": Case([frame(7, CLOSE)], code=1002),
    }
    # Not in the suite: every single bit in every kind of frame.
    for bits in (1, 2, 4):
        for opcode in (0, TEXT, BINARY, CLOSE, PING, PONG):
            cases[f"3.x bit {bits} opcode {opcode}"] = Case([frame(bits, opcode)], code=1002)
    return cases


def reserved_opcodes() -> dict[str, Case]:
    cases = {}
    for section, opcodes in [("4.1", range(3, 8)), ("4.2", range(11, 16))]:
        for number, opcode in enumerate(opcodes, 1):
            alone = Frame(FIN | opcode, b"reserved opcode payload" if number % 2 == 0 else b"")
            cases[f"{section}.{number}"] = Case([alone], code=1002)
            cases[f"{section}.{number} behind a message"] = Case(
                [HELLO, alone, ping()], [HELLO_TEXT], 1002
            )
            cases[f"{section}.{number} chopped"] = Case(
                [HELLO, alone, ping()], [HELLO_TEXT], 1002, chop=1
            )
    return cases


def fragmentation() -> dict[str, Case]:
    first, last = ENDLESS_HELLO
    whole_text = "fragment1fragment2"
    orphan_end = Frame(FIN, b"non-continuation payload")
    orphan = Frame(0, b"non-continuation payload")
    five = fragments(TEXT, *(b"fragment%d" % number for number in range(1, 6)))
    pinged = [*five[:2], ping(b"pongme 1!"), *five[2:4], ping(b"pongme 2!"), five[4]]
    cases = {
        "5.1 a ping": Case([Frame(PING, b"a"), Frame(FIN, b"b")], code=1002),
        "5.2 a pong": Case([Frame(PONG, b"a"), Frame(FIN, b"b")], code=1002),
        "5.3 a text": Case(ENDLESS_HELLO, [whole_text]),
        "5.6 with a ping": Case([first, ping(b"ping payload"), last], [whole_text]),
        "5.9 the end of nothing": Case([orphan_end, HELLO], code=1002),
        "5.12 a part of nothing": Case([orphan, HELLO], code=1002),
        "5.15 behind an end": Case([*ENDLESS_HELLO, orphan, HELLO], [whole_text], 1002),
        "5.16 a part of nothing, twice": Case([orphan, HELLO, orphan, HELLO], code=1002),
        "5.17 the end of nothing, twice": Case([orphan_end, HELLO, orphan_end], code=1002),
        "5.18 two beginnings": Case([first, text("fragment2")], code=1002),
        "5.19 five with pings": Case(pinged, ["".join(f"fragment{n}" for n in range(1, 6))]),
    }
    # The suite has most of these by number of their own: sent frame by frame, and chopped.
    chopped = {f"{name}, chopped": attrs.evolve(case, chop=1) for name, case in cases.items()}
    more = {
        "5.x a close frame": Case([Frame(CLOSE, b"\x03"), Frame(FIN, b"\xe8")], code=1002),
        "5.x binary": Case(fragments(BINARY, b"\x00", b"\xff"), [b"\x00\xff"]),
        "5.x two binary beginnings": Case([Frame(BINARY, b"a"), binary(b"b")], code=1002),
        "5.x two unfinished beginnings": Case([first, Frame(TEXT, b"b")], code=1002),
        "5.x messages around it": Case(
            [HELLO, *ENDLESS_HELLO, HELLO, *ENDLESS_HELLO, *ENDLESS_HELLO, HELLO],
            [HELLO_TEXT, whole_text, HELLO_TEXT, whole_text, whole_text, HELLO_TEXT],
        ),
    }
    return cases | chopped | more


def closing() -> dict[str, Case]:
    late = text("late")
    long = "BAsd7&jh23" * 26_214
    goodbye = close(1000)
    cases = {
        "7.1.1 behind a message": Case([HELLO, goodbye], [HELLO_TEXT], 1000),
        "7.1.2 twice": Case([goodbye, goodbye], code=1000),
        "7.1.3 before a ping": Case([goodbye, ping()], code=1000),
        "7.1.4 before a message": Case([goodbye, late], code=1000),
        "7.1.5 among fragments": Case([ENDLESS_HELLO[0], goodbye, ENDLESS_HELLO[1]], code=1000),
        "7.1.6 behind a long one": Case(
            [text(long), HELLO, goodbye, ping()], [long, HELLO_TEXT], 1000
        ),
        "7.3.1 without a code": Case([whole(CLOSE)], code=1005),
        "7.3.2 with half a code": Case([whole(CLOSE, b"a")], code=1002),
        "7.3.3 with a code": Case([goodbye], code=1000, reason=""),
        "7.3.4 with a reason": Case([close(1000, b"Hello")], code=1000, reason="Hello"),
        "7.3.5 the longest": Case([close(1000, b"*" * 123)], code=1000, reason="*" * 123),
        "7.3.6 too long": Case([close(1000, b"*" * 124)], code=1002),
        "7.5.1 not UTF-8": Case([close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], code=1007),
    }
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for code in (*good, 1012, 1013):  # two that came later than the suite
        cases[f"7.7 good {code}"] = Case([close(code, b"why")], code=code, reason="why")
    bad = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    # 1014, for a bad gateway, was registered later as well, and wsproto has not heard of it.
    for code in (*bad, 1014):
        cases[f"7.9 bad {code}"] = Case([close(code, b"why")], code=1002)
    chopped = {f"{name}, chopped": attrs.evolve(case, chop=1) for name, case in cases.items()}
    del chopped["7.1.6 behind a long one, chopped"]
    return cases | chopped


def limits() -> dict[str, Case]:
    """In small: up to 4 MiB instead of 16, and not every combination of sizes."""
    cases = {}
    kib = 1024
    for opcode, name in [(TEXT, "9.1 text"), (BINARY, "9.2 binary")]:
        for size in (256 * kib, 4096 * kib):
            payload = bytes(32 + number % 90 for number in range(997)) * (size // 997 + 1)
            payload = payload[:size]
            message: str | bytes = payload.decode() if opcode == TEXT else payload
            cases[f"{name} of {size // kib} KiB"] = Case([whole(opcode, payload)], [message])
            for part in (64, 4 * kib, 64 * kib):
                if size // part <= 4096:
                    cases[f"{name} of {size // kib} KiB in fragments of {part}"] = Case(
                        fragments(opcode, *pieces(payload, part)), [message]
                    )
            if size == 256 * kib:
                cases[f"{name} of 256 KiB chopped"] = Case(
                    [whole(opcode, payload)], [message], chop=512
                )
    long = "*" * 65536
    cases["10.1.1 by automatic fragments"] = Case(
        fragments(TEXT, *pieces(long.encode(), 1300)), [long]
    )
    return cases


CASES = {
    **framing(),
    **PINGS,
    **reserved_bits(),
    **reserved_opcodes(),
    **fragmentation(),
    **closing(),
    **limits(),
}


async def echo(transport: WebSocketTransport, received: list[str | bytes]) -> None:
    while batch := await transport.receive():
        received += batch
        try:
            for message in batch:
                await transport.send(message)
        except ConnectionLost:
            # Messages that came together with the end cannot be answered any more.
            pass


async def converse(case: Case, peer: RawPeer) -> list[Frame]:
    """Send what the case has, and say goodbye if it does not end by itself."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, peer.encode(case.frames), case.chop)
        if case.code is None:
            seen = await peer.frames(data=len(case.received), pongs=len(case.pongs))
        else:
            seen = await peer.rest()
    if case.code is None:
        await peer.send(peer.encode([close(1000)]))
        seen += await peer.rest()
    return seen


def message_of(frame: Frame) -> str | bytes:
    return frame.payload.decode() if frame.first == FIN | TEXT else frame.payload


def check(
    case: Case, transport: WebSocketTransport, received: list[str | bytes], seen: list[Frame]
) -> None:
    """Whether the case went well, by what the transport received and what the peer has seen."""
    assert received == case.received
    assert transport.closed is not None
    assert transport.closed.code == (1000 if case.code is None else case.code)
    assert case.reason in (None, transport.closed.reason)
    answers = [frame.payload for frame in seen if frame.opcode == CLOSE]
    if case.code is None:
        assert [frame.payload for frame in seen if frame.opcode == PONG] == case.pongs
        assert answers == [b"\x03\xe8"]
    else:
        # A goodbye is repeated; over an offence trio-websocket hangs up.
        ends = [frame.payload for frame in case.frames if frame.opcode == CLOSE][:1]
        is_goodbye = ends == [b""] if case.code == 1005 else ends and code_of(ends[0]) == case.code
        assert answers == (ends if is_goodbye else [])


def code_of(payload: bytes) -> int:
    return int.from_bytes(payload[:2])


@sides
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_case_while_everything_is_echoed(case: Case, side: str) -> None:
    received: list[str | bytes] = []
    async with open_raw(side) as (transport, peer), trio.open_nursery() as nursery:
        nursery.start_soon(echo, transport, received)
        seen = await converse(case, peer)
    check(case, transport, received, seen)
    echoes = [message_of(frame) for frame in seen if frame.opcode < CLOSE]
    # What came together with the end cannot be echoed any more.
    assert echoes == received[: len(echoes) if case.code else None]


@sides
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_case_while_nobody_receives(case: Case, side: str) -> None:
    async with open_raw(side) as (transport, peer):
        silent = attrs.evolve(case, received=[])
        seen = await converse(silent, peer)
        received = await receive_all(transport)
    check(case, transport, received, seen)
    assert [frame for frame in seen if frame.opcode < CLOSE] == []


# 6: UTF-8


GOOD_TEXTS = [
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    # The first and the last of every length.
    *"\x00\x80\u0800\U00010000\x7f\u07ff\uffff\U0010ffff",
    # The neighbours of the surrogates, and what is no character.
    *"\ud7ff\ue000\ufffd\ufffe",
    "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF)),
]

_BAD_TEXTS = """
    cebae1bdb9cf83cebcceb5eda080656469746564 f4908080 cebae1bdb9cf83cebcceb5f4908080656469746564
    ce cebae1 cebae1bd cebae1bdb9cf cebae1bdb9cf83cebcce
    f888808080 fc8480808080 f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf f4908080
    80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf
    80818283848586878889 bebfc0 c020c120c220c320 e020e120e220 f020f120f220 f820f920fa20fb20 fc20fd20
    c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf
    c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf
    fe ff fefeffff c0af e080af f08080af f8808080af fc80808080af
    c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf c080 e08080 f0808080 f880808080 fc8080808080
    eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf
    eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edafbfedbfbf
"""
BAD_TEXTS = [bytes.fromhex(digits) for digits in _BAD_TEXTS.split()]


@sides
@pytest.mark.parametrize("cut", ["in one frame", "at every byte", "by empty fragments"])
async def test_6_good_texts_are_received(side: str, cut: str) -> None:
    sent = []
    for good in GOOD_TEXTS:
        data = good.encode()
        parts = [data] if cut == "in one frame" else pieces(data, 1)
        if cut == "by empty fragments":
            parts = [b"", *(part for each in parts for part in (each, b""))]
        sent += fragments(TEXT, *parts)
    case = Case(sent, list(GOOD_TEXTS))
    received: list[str | bytes] = []
    async with open_raw(side) as (transport, peer), trio.open_nursery() as nursery:
        nursery.start_soon(echo, transport, received)
        seen = await converse(case, peer)
    check(case, transport, received, seen)
    assert [message_of(frame) for frame in seen if frame.opcode < CLOSE] == GOOD_TEXTS


async def fail_on(side: str, receives: bool, frames: list[Frame], chop: int | None) -> None:
    """See to it that the last of the frames, which the peer does not end, fails the connection."""
    case = Case([HELLO, *frames], [HELLO_TEXT], 1007, chop=chop)
    received: list[str | bytes] = []
    async with open_raw(side) as (transport, peer), trio.open_nursery() as nursery:
        if receives:
            nursery.start_soon(echo, transport, received)
        seen = await converse(case, peer)
        if not receives:
            received += await receive_all(transport)
    check(case, transport, received, seen)


@sides
@pytest.mark.parametrize("receives", [True, False], ids=["echoed", "nobody receives"])
@pytest.mark.parametrize("cut", ["in one frame", "chopped", "at every byte"])
async def test_6_bad_texts_fail_the_connection(side: str, cut: str, receives: bool) -> None:
    await trio.lowlevel.checkpoint()
    for some in range(0, len(BAD_TEXTS), 10):
        async with trio.open_nursery() as nursery:
            for bad in BAD_TEXTS[some : some + 10]:
                parts = pieces(bad, 1) if cut == "at every byte" else [bad]
                nursery.start_soon(
                    fail_on,
                    side,
                    receives,
                    fragments(TEXT, *parts),
                    1 if cut == "chopped" else None,
                )


@sides
@pytest.mark.parametrize("receives", [True, False], ids=["echoed", "nobody receives"])
@pytest.mark.parametrize("chop", [None, 1])
async def test_6_4_a_bad_text_fails_the_connection_before_it_is_complete(
    side: str, receives: bool, chop: int | None
) -> None:
    start, bad = "κόσμε".encode(), b"\xf4\x90\x80\x80"
    async with trio.open_nursery() as nursery:
        # The last fragment is missing, and never comes.
        for frames in (
            [Frame(TEXT, bad)],
            [Frame(TEXT, start), Frame(0, bad)],
            [Frame(TEXT, start), Frame(0, b"\xf4"), ping(), Frame(0, b"\x90")],
        ):
            nursery.start_soon(fail_on, side, receives, frames, chop)


@sides
async def test_6_4_a_bad_text_in_one_frame_fails_when_that_is_complete(side: str) -> None:
    """The suite would like it earlier, and does not insist: the lane looks at whole frames."""
    good, bad = "κόσμε".encode(), b"\xf4\x90\x80\x80"
    async with open_raw(side) as (transport, peer):
        data = peer.encode([whole(TEXT, good + bad + b"edited")])
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def receive() -> None:
                assert await receive_all(transport) == []
                assert transport.closed is not None
                assert transport.closed.code == 1007

            await peer.send(data[:-1])
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert transport.closed is None
            await peer.send(data[-1:])
