"""AudioData: lazy, immutable, convertible once."""

from __future__ import annotations

import array
import base64
import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio.audio.data import AudioData, AudioLike
from realtime_trio.audio.wav import write_wav
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError
from realtime_trio.events import InputAudioBufferAppend

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


@pytest.mark.parametrize("wrap", [lambda numbers: numbers, memoryview])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (array.array("h", SAMPLES), SAMPLES),
        (array.array("f", [1, -1, 0.5]), [32767, -32768, 16383]),
        (array.array("d", [1, -1, 0.5]), [32767, -32768, 16383]),
    ],
    ids=["int16", "float32", "float64"],
)
def test_arrays_of_the_standard_library_are_samples_too(
    wrap: Callable[[Any], Any], numbers: Any, expected: list[int]
) -> None:
    audio = AudioData(wrap(numbers))
    assert audio.samples.tolist() == expected
    assert audio.is_pcm


@pytest.mark.parametrize("code", ["b", "B"])
def test_an_array_of_bytes_is_not_samples(code: str) -> None:
    view = memoryview(array.array(code, b"ab"))
    assert AudioData(view).data == b"ab"
    assert not AudioData(view).is_pcm


def test_floats_on_another_scale_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"in \[-1, 1\], got one of 20000; .*16 bit"):
        AudioData(np.array([0.0, -20000.0, 3.0], np.float32))


WAV = io.BytesIO()
write_wav(WAV, np.array(SAMPLES, np.int16))


@pytest.mark.parametrize("given", [bytes, bytearray, memoryview, AudioData])
def test_a_whole_wav_file_is_not_audio(given: Callable[[bytes], AudioLike]) -> None:
    said = r"a whole WAV file, RIFF header and all, and not audio alone; .*read_wav\(path\)"
    with pytest.raises(LocalProtocolError, match=said):
        AudioData.of(given(WAV.getvalue()))
    if given is not AudioData:
        with pytest.raises(LocalProtocolError, match=said):
            InputAudioBufferAppend(audio=given(WAV.getvalue()))


@pytest.mark.parametrize(
    ("kind", "begin"),
    [
        ("Ogg", b"OggS\0\x02" + bytes(8) + b"serial"),
        ("FLAC", b"fLaC\0\0\0\x22\x10\0"),
        ("MP3", b"ID3\x04\0\0\0\0\x0f\x76TSSE"),
        ("MP4", b"\0\0\0\x1cftypM4A \0\0"),
        ("WebM", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01"),
        ("WebM", b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86\x81\x01"),
    ],
)
def test_a_compressed_file_is_not_audio(kind: str, begin: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=f"whole {kind} file, compressed, .*decode it"):
        AudioData.of(begin)


def test_what_a_peer_sends_is_borne_whatever_it_is() -> None:
    text = base64.b64encode(WAV.getvalue()).decode()
    assert AudioData.of(AudioData.from_base64(text)).base64 == text
    assert AudioData(WAV.getvalue()).data == WAV.getvalue()


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
        (None, "None"),
        (array.array("i", [1]), r"array of shape \(1,\) and dtype int32"),
        (memoryview(array.array("i", [1])), "dtype int32"),
        (np.array(["a", "b"]), "dtype <U1"),
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
        array.array("h", SAMPLES),
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
    assert audio.nbytes == len(audio) == 9
    assert audio.samples.tolist() == SAMPLES
    assert AudioData(b"\x07").samples.shape == (0,)


def test_nothing_is_a_valid_piece_of_audio_and_false() -> None:
    for audio in (AudioData(b""), AudioData.from_base64(""), AudioData(np.empty(0, np.int16))):
        assert not audio
        assert audio.nbytes == len(audio) == 0
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


def test_what_came_as_base64_may_be_in_any_format() -> None:
    assert not AudioData.from_base64("AAAA").is_pcm
