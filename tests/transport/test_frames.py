"""The plain lane: frames in any pieces come out as messages, and the rest as it went in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies as st
from websocket_peers import BINARY, CLOSE, PING, PONG, TEXT

from realtime_trio._transport.frames import FrameLane, frame, masked

LIMIT = 2**20


def raw(first: int, payload: bytes, *, masks: bool = False, length: bytes | None = None) -> bytes:
    """A frame by hand, whatever its first byte says; `length` as it is written, without flag."""
    size = len(payload)
    if length is None:
        length = (
            bytes([size])
            if size < 126
            else struct.pack("!BH", 126, size)
            if size < 2**16
            else struct.pack("!BQ", 127, size)
        )
    if not masks:
        return bytes([first]) + length + payload
    key = b"\x01\x80\xfe\x33"
    hidden = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    return bytes([first, length[0] | 0x80]) + length[1:] + key + hidden


class Reader:
    """Feeds a lane, and notes in one list what it lifts and what it passes on."""

    def __init__(self, *, masks: bool = False, limit: int = LIMIT) -> None:
        self.lane = FrameLane(masks=masks, limit=limit)
        self.seen: list[str | bytes | tuple[str, bytes]] = []

    def feed(self, data: bytes) -> None:
        self.lane.feed(data)
        while True:
            messages: list[str | bytes] = []
            passed = self.lane.lift(messages)
            self.seen += messages
            if passed:
                # Pieces of one frame count as one.
                if self.seen and isinstance(last := self.seen[-1], tuple) and last[0] == "open":
                    passed = last[1] + passed
                    del self.seen[-1]
                self.seen.append(("open", passed))
            elif self.lane.owes:
                self.lane.owes = False
                self.close("owed")
            else:
                return

    def close(self, name: str) -> None:
        last = self.seen.pop()
        assert isinstance(last, tuple)
        self.seen.append((name, last[1]))


sides = pytest.mark.parametrize("masks", [False, True], ids=["from a server", "from a client"])

PLAIN = st.one_of(st.text(max_size=300), st.binary(max_size=300))


@given(
    st.lists(PLAIN, max_size=8),
    st.lists(st.integers(1, 60), min_size=1, max_size=30),
    st.booleans(),
)
def test_messages_in_any_pieces_are_the_messages(
    messages: list[str | bytes], sizes: list[int], masks: bool
) -> None:
    stream = b"".join(frame(message, masks=masks) for message in messages)
    reader = Reader(masks=masks)
    index = 0
    while stream:
        size = sizes[index % len(sizes)]
        reader.feed(stream[:size])
        stream = stream[size:]
        index += 1
    assert reader.seen == messages


@sides
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 699, 700, 701, 2**16 - 1, 2**16, 2**16 + 1])
def test_every_way_of_writing_a_length(size: int, masks: bool) -> None:
    text = "x" * size
    reader = Reader(masks=masks)
    whole = frame(text, masks=masks)
    reader.feed(whole * 2)
    for index in range(0, len(whole), max(1, len(whole) // 40)):
        reader.feed(whole[:index])
        reader.feed(whole[index:])
    assert set(reader.seen) == {text}
    assert raw(0x80 | TEXT, text.encode()) == frame(text, masks=False)


@sides
def test_a_stream_may_be_cut_at_every_byte(masks: bool) -> None:
    messages: list[str | bytes] = ["grüße", b"\x00\xff", "x" * 200, ""]
    stream = b"".join(frame(message, masks=masks) for message in messages)
    for cut in range(len(stream) + 1):
        reader = Reader(masks=masks)
        reader.feed(stream[:cut])
        reader.feed(stream[cut:])
        assert reader.seen == messages


@sides
@pytest.mark.parametrize(
    "offence", [b"", raw(0x80 | TEXT, b"x" * 40 + b"\xff"), raw(0x80 | CLOSE, b"")]
)
def test_where_a_stream_is_cut_makes_no_difference(offence: bytes, masks: bool) -> None:
    if masks and offence:
        offence = raw(offence[0], offence[2:], masks=True)
    stream = b"".join(
        [
            frame("x" * 40, masks=masks),
            raw(0x80 | PING, b"ping" * 5, masks=masks),
            frame("y" * 40, masks=masks),
            raw(BINARY, b"b" * 20, masks=masks),
            raw(0x80, b"c" * 20, masks=masks),
            offence,
            frame("z" * 40, masks=masks),
        ]
    )
    uncut = Reader(masks=masks)
    uncut.feed(stream)
    assert ("z" * 40 in uncut.seen) == (not offence)
    for cut in range(len(stream)):
        for second in range(cut, len(stream), 11):
            reader = Reader(masks=masks)
            for piece in (stream[:cut], stream[cut:second], stream[second:]):
                reader.feed(piece)
            assert reader.seen == uncut.seen


def test_what_is_behind_a_frame_that_was_begun_is_not_copied_with_it() -> None:
    lane = FrameLane(masks=False, limit=LIMIT)
    messages: list[str | bytes] = []
    stream = frame("x" * 40, masks=False) + frame("y" * 4000, masks=False)
    lane.feed(stream[:10])
    assert lane.lift(messages) == b""
    lane.feed(stream[10:])
    assert len(lane._data) == 42
    assert lane.lift(messages) == b""
    assert messages == ["x" * 40, "y" * 4000]


@pytest.mark.parametrize("is_down", [False, True])
def test_what_is_behind_a_frame_stays_there(is_down: bool) -> None:
    lane = FrameLane(masks=False, limit=LIMIT)
    messages: list[str | bytes] = []
    stream = b"".join(frame(letter * 40, masks=False) for letter in "xyz")
    lane.feed(stream[:10])
    assert lane.lift(messages) == b""
    # Nothing is lifted in between, and then perhaps nothing any more.
    lane.feed(stream[10:60])
    lane.feed(stream[60:])
    lane.is_down = is_down
    passed = lane.lift(messages)
    assert passed == (stream if is_down else b"")
    assert messages == ([] if is_down else ["x" * 40, "y" * 40, "z" * 40])


@pytest.mark.parametrize("opcode", [PING, PONG])
@sides
def test_pings_and_pongs_are_passed_on_at_their_place(opcode: int, masks: bool) -> None:
    control = raw(0x80 | opcode, b"there?", masks=masks)
    stream = frame("before", masks=masks) + control + frame("behind", masks=masks)
    for cut in range(len(stream)):
        reader = Reader(masks=masks)
        reader.feed(stream[:cut])
        reader.feed(stream[cut:])
        assert reader.seen == ["before", ("open", control), "behind"]


@sides
def test_a_message_in_fragments_is_owed_before_what_comes_behind_it(masks: bool) -> None:
    fragments = (
        raw(TEXT, b"a", masks=masks)
        + raw(0x80 | PING, b"", masks=masks)
        + raw(0, b"b", masks=masks)
        + raw(0x80, b"c", masks=masks)
    )
    stream = frame("before", masks=masks) + fragments + frame("behind", masks=masks)
    for cut in range(len(stream)):
        reader = Reader(masks=masks)
        reader.feed(stream[:cut])
        reader.feed(stream[cut:])
        assert reader.seen == ["before", ("owed", fragments), "behind"]


@sides
def test_a_ping_behind_a_message_in_fragments_owes_nothing(masks: bool) -> None:
    fragments = raw(TEXT, b"a", masks=masks) + raw(0x80, b"b", masks=masks)
    control = raw(0x80 | PING, b"", masks=masks)
    reader = Reader(masks=masks)
    reader.feed(fragments + control + frame("behind", masks=masks))
    assert reader.seen == [("owed", fragments), ("open", control), "behind"]


@sides
def test_nothing_comes_of_a_part_of_a_head(masks: bool) -> None:
    head = frame("x" * 2**16, masks=masks)[:14]
    lane = FrameLane(masks=masks, limit=LIMIT)
    messages: list[str | bytes] = []
    for byte in head:
        lane.feed(bytes([byte]))
        assert lane.lift(messages) == b""
    assert messages == []


def test_a_long_frame_in_many_pieces_is_not_copied_with_each_of_them() -> None:
    lane = FrameLane(masks=False, limit=LIMIT)
    messages: list[str | bytes] = []
    whole = frame(b"x" * 1000, masks=False)
    lane.feed(whole[:10])
    assert lane.lift(messages) == b""
    kept = lane._data
    for index in range(10, len(whole) - 1):
        lane.feed(whole[index : index + 1])
        assert lane.lift(messages) == b""
        assert lane._data is kept
    lane.feed(whole[-1:])
    assert lane.lift(messages) == b""
    assert messages == [b"x" * 1000]


def test_nothing_is_lifted_while_a_message_is_owed() -> None:
    lane = FrameLane(masks=False, limit=LIMIT)
    lane.feed(raw(BINARY, b"a") + raw(0x80, b"b") + frame("behind", masks=False))
    messages: list[str | bytes] = []
    assert lane.lift(messages) == raw(BINARY, b"a")
    assert lane.lift(messages) == raw(0x80, b"b")
    assert lane.owes
    assert lane.lift(messages) == b""
    lane.feed(frame("more", masks=False))
    assert lane.lift(messages) == b""
    assert messages == []
    lane.owes = False
    assert lane.lift(messages) == b""
    assert messages == ["behind", "more"]


@sides
def test_a_frame_that_is_too_long_is_passed_on_as_it_comes_and_owed(masks: bool) -> None:
    long = frame("é" * 60, masks=masks)  # short enough in characters: who knows
    reader = Reader(masks=masks, limit=100)
    for index in range(len(long)):
        reader.feed(long[index : index + 1])
        assert len(reader.lane._data) < 20, "it does not pile up"
    reader.feed(frame("x" * 100, masks=masks))
    assert reader.seen == [("owed", long), "x" * 100]


@sides
@pytest.mark.parametrize(
    "offence",
    [
        pytest.param(lambda masks: raw(0x80 | CLOSE, b"\x03\xe8", masks=masks), id="the end"),
        pytest.param(lambda masks: raw(0x80 | TEXT, b"x", masks=not masks), id="the wrong mask"),
        pytest.param(lambda masks: raw(0x80 | TEXT, b"\xff", masks=masks), id="not UTF-8"),
        pytest.param(lambda masks: raw(0xC0 | TEXT, b"x", masks=masks), id="compressed"),
        pytest.param(lambda masks: raw(0x90 | PING, b"x", masks=masks), id="a reserved bit"),
        pytest.param(lambda masks: raw(0x83, b"x", masks=masks), id="an unknown frame"),
        pytest.param(lambda masks: raw(0x8B, b"x", masks=masks), id="an unknown control frame"),
        pytest.param(lambda masks: raw(0x80, b"x", masks=masks), id="the end of nothing"),
        pytest.param(lambda masks: raw(PING, b"x", masks=masks), id="a ping in pieces"),
        pytest.param(lambda masks: raw(0x80 | PING, b"x" * 126, masks=masks), id="a long ping"),
        pytest.param(
            lambda masks: raw(0x80 | TEXT, b"x" * 5, masks=masks, length=b"\x7e\x00\x05"),
            id="a short length in two bytes",
        ),
        pytest.param(
            lambda masks: raw(
                0x80 | TEXT, b"x" * 300, masks=masks, length=struct.pack("!BQ", 127, 300)
            ),
            id="a short length in eight bytes",
        ),
        pytest.param(
            lambda masks: raw(
                0x80 | TEXT, b"x", masks=masks, length=struct.pack("!BQ", 127, 2**63 + 1)
            ),
            id="a negative length",
        ),
    ],
)
def test_from_an_offence_on_everything_is_passed_on(offence: object, masks: bool) -> None:
    assert callable(offence)
    wrong = offence(masks) + frame("behind", masks=masks)
    stream = frame("before", masks=masks) + wrong
    for cut in (0, *range(len(stream) - len(wrong), len(stream), max(1, len(wrong) // 30))):
        reader = Reader(masks=masks)
        reader.feed(stream[:cut])
        reader.feed(stream[cut:])
        reader.feed(frame("even later", masks=masks))
        assert reader.seen == ["before", ("open", wrong + frame("even later", masks=masks))] or (
            masks  # a mask of ours is another one every time
            and reader.lane.is_down
            and len(reader.seen) == 2
        )


def test_data_among_fragments_is_an_offence() -> None:
    reader = Reader()
    reader.feed(raw(TEXT, b"a") + raw(0x80 | TEXT, b"b"))
    assert reader.lane.is_down
    assert reader.seen == [("open", raw(TEXT, b"a") + raw(0x80 | TEXT, b"b"))]


def test_a_length_of_more_than_32_bits_is_read() -> None:
    lane = FrameLane(masks=False, limit=2**40)
    lane.feed(struct.pack("!BBQ", 0x80 | BINARY, 127, 2**32 + 1) + b"x")
    messages: list[str | bytes] = []
    assert lane.lift(messages) == b""
    assert lane._needed == 2**32 + 11
    lane = FrameLane(masks=False, limit=2**30)
    lane.feed(struct.pack("!BBQ", 0x80 | BINARY, 127, 2**32 + 1) + b"x")
    assert lane.lift(messages)[-1:] == b"x"
    assert lane._passing == 2**32


def test_what_is_done_with_is_let_go() -> None:
    lane = FrameLane(masks=False, limit=LIMIT)
    lane.feed(frame("x" * 50_000, masks=False) + b"\x81")
    messages: list[str | bytes] = []
    lane.lift(messages)
    assert bytes(lane._data) == b"\x81"
    lane.feed(b"\x00")
    lane.lift(messages)
    assert messages == ["x" * 50_000, ""]
    assert len(lane._data) == 0


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_masking_is_the_exclusive_or_of_every_byte(payload: bytes, mask: bytes) -> None:
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    assert masked(payload, mask) == expected
    assert masked(expected, mask) == payload


def test_a_frame_of_a_client_has_another_mask_every_time() -> None:
    frames = {frame("x", masks=True) for _ in range(20)}
    assert len(frames) > 1
    assert {len(each) for each in frames} == {7}


def test_half_of_a_surrogate_pair_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        frame("\ud800", masks=True)
