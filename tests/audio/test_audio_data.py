"""AudioData: lazy, immutable, convertible once."""

from __future__ import annotations

import base64
import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio.audio.data import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError

# 0, 1, -2, 300 as little-endian 16 bit.
SAMPLES = [0, 1, -2, 300]
ENCODED = b"\x00\x00\x01\x00\xfe\xff\x2c\x01"


@pytest.mark.parametrize(
    "data", [ENCODED, bytearray(ENCODED), memoryview(ENCODED), memoryview(ENCODED[::-1])[::-1]]
)
def test_bytes_like_objects_are_taken_as_they_are(data: bytes | bytearray | memoryview) -> None:
    audio = AudioData(data)
    assert audio.data == ENCODED
    assert type(audio.data) is bytes
    assert audio.samples.tolist() == SAMPLES


@pytest.mark.parametrize(
    "samples",
    [
        np.array(SAMPLES, np.int16),
        np.array(SAMPLES, ">i2"),
        np.array([9, *SAMPLES, 9], np.int16)[1:-1],
        np.array([0, 9, 1, 9, -2, 9, 300], np.int16)[::2],
        np.array(SAMPLES[::-1], np.int16)[::-1],
    ],
)
def test_an_int16_array_encodes_exactly_its_own_samples(
    samples: np.ndarray[tuple[int], np.dtype[np.int16]],
) -> None:
    assert AudioData(samples).data == ENCODED


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4")])
def test_float_arrays_are_converted_to_16_bit(dtype: type[np.floating[Any]]) -> None:
    assert AudioData(np.array([1, -1, 0.5, -0.5], dtype)).samples.tolist() == [
        32767,
        -32768,
        16383,
        -16384,
    ]


def test_later_changes_of_the_callers_buffer_do_not_show() -> None:
    buffer, samples = bytearray(ENCODED), np.array(SAMPLES, np.int16)
    from_buffer, from_samples = AudioData(buffer), AudioData(samples)
    buffer[:] = bytes(len(buffer))
    samples[:] = 0
    assert from_buffer.data == from_samples.data == ENCODED


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("c291bmQ=", "str"),
        ([0, 1], "list"),
        (None, "NoneType"),
        (np.zeros(2, np.int32), r"array of shape \(2,\) and dtype int32"),
        (np.zeros(2, np.uint16), "dtype uint16"),
        (np.zeros(2, np.uint8), "dtype uint8"),
        (np.zeros(2, np.complex64), "dtype complex64"),
        (np.zeros((2, 1), np.int16), r"shape \(2, 1\)"),
        (np.zeros((2, 2), np.float32), r"shape \(2, 2\)"),
        (np.int16(3), "int16"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(wrong: Any, what: str) -> None:
    with pytest.raises(
        LocalProtocolError,
        match=rf"cannot take .*({what}).* as audio; allowed: bytes, .*int16, float16",
    ):
        AudioData(wrong)


def test_of_wraps_once() -> None:
    audio = AudioData.of(ENCODED)
    assert audio.data == ENCODED
    assert AudioData.of(audio) is audio
    everything: list[AudioLike] = [
        ENCODED,
        bytearray(ENCODED),
        memoryview(ENCODED),
        np.array(SAMPLES, np.int16),
        audio,
    ]
    assert {AudioData.of(like) for like in everything} == {audio}


def test_received_base64_is_decoded_once_and_kept_as_received() -> None:
    text = base64.b64encode(ENCODED).decode()
    audio = AudioData.from_base64(text)
    assert audio.base64 is text
    assert audio.data == ENCODED
    assert audio.data is audio.data
    assert audio.base64 is text


def test_base64_is_encoded_once() -> None:
    audio = AudioData(ENCODED)
    assert audio.base64 == base64.b64encode(ENCODED).decode()
    assert audio.base64 is audio.base64


def test_samples_share_memory_with_the_bytes_and_are_read_only() -> None:
    audio = AudioData.from_base64(base64.b64encode(ENCODED).decode())
    samples = audio.samples
    assert samples.dtype == np.dtype("<i2")
    assert samples.shape == (4,)
    assert np.shares_memory(samples, np.frombuffer(audio.data, np.uint8))
    assert not samples.flags.writeable


def test_an_odd_last_byte_is_data_but_not_a_sample() -> None:
    audio = AudioData(ENCODED + b"\x07")
    assert audio.nbytes == 9
    assert audio.samples.tolist() == SAMPLES
    assert AudioData(b"\x07").samples.shape == (0,)


def test_nothing_is_a_valid_piece_of_audio_and_false() -> None:
    for audio in (AudioData(b""), AudioData.from_base64(""), AudioData(np.empty(0, np.int16))):
        assert not audio
        assert audio.nbytes == 0
        assert audio.samples.shape == (0,)
        assert audio.base64 == ""
    assert AudioData(b"\x00")
    assert AudioData.from_base64("AA==")


INVALID = [
    "AAA",
    "A",
    "AA=A",
    "AAAA====",
    "====",
    "AAAA\n",
    "-_8=",
    "AA==AA==",
    "secret words!",
    "é",
    "\ud800",
]


@pytest.mark.parametrize("text", INVALID)
def test_invalid_base64_is_reported_where_it_is_read_and_not_quoted(text: str) -> None:
    audio = AudioData.from_base64(text)
    assert audio.nbytes >= 0
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            _ = audio.samples
        assert str(caught.value) == f"audio is not valid base64 ({len(text)} characters)"
        assert caught.value.__suppress_context__


def test_equality_and_hash_go_by_content() -> None:
    text = base64.b64encode(ENCODED).decode()
    assert AudioData(ENCODED) == AudioData.from_base64(text)
    assert hash(AudioData(ENCODED)) == hash(AudioData.from_base64(text))
    assert AudioData(ENCODED) != AudioData(ENCODED[:-1])
    assert AudioData.from_base64("AAAA") != AudioData.from_base64("AAAB")
    assert AudioData(ENCODED) != ENCODED
    # The unused bits of the last character differ; the bytes don't.
    assert AudioData.from_base64("AA==") == AudioData.from_base64("AB==")


def test_undecodable_audio_still_equals_itself() -> None:
    assert AudioData.from_base64("?") == AudioData.from_base64("?")
    with pytest.raises(RemoteProtocolError):
        assert AudioData.from_base64("?") == AudioData(ENCODED)


def test_repr_tells_the_size_and_never_the_content() -> None:
    assert repr(AudioData(bytes(4800))) == "<AudioData 4800 bytes>"
    assert repr(AudioData.from_base64("QUJDRA==")) == "<AudioData 4 bytes>"


def test_nothing_can_be_assigned() -> None:
    audio: Any = AudioData(ENCODED)
    for name in ("data", "base64", "samples", "nbytes", "anything"):
        with pytest.raises(AttributeError):
            setattr(audio, name, b"")


def test_copies_and_pickles_are_equal() -> None:
    audio = AudioData(ENCODED)
    assert copy.deepcopy(audio) == audio
    assert pickle.loads(pickle.dumps(audio)) == audio


@given(data=st.binary(max_size=50))
def test_bytes_survive_the_wire_and_the_size_is_known_before_decoding(data: bytes) -> None:
    received = AudioData.from_base64(AudioData(data).base64)
    assert received.nbytes == len(data)
    assert received == AudioData(data)
    assert received.nbytes == len(data)
    assert len(received.samples) == len(data) // 2


@given(text=st.text(alphabet="AQg+/=\n é", max_size=12))
def test_whatever_text_arrives_it_decodes_or_raises_our_error(text: str) -> None:
    audio = AudioData.from_base64(text)
    promised = audio.nbytes
    try:
        decoded = audio.data
    except RemoteProtocolError:
        return
    assert decoded == base64.b64decode(text, validate=True)
    assert len(decoded) == promised
