"""G.711, exhaustively: there are only 256 codes and 65536 samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_trio.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode
from realtime_trio.errors import LocalProtocolError

Encode = Callable[[NDArray[np.int16]], bytes]
Decode = Callable[[Any], NDArray[np.int16]]

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
both_laws = pytest.mark.parametrize(
    ("encode", "decode"),
    [(mulaw_encode, mulaw_decode), (alaw_encode, alaw_decode)],
    ids=["mulaw", "alaw"],
)


def reference_mulaw(sample: int) -> int:
    """One sample, with the shifts and loops of the recommendation's reference code."""
    magnitude = min(((~sample if sample < 0 else sample) >> 2) + 33, 0x1FFF)
    segment, rest = 1, magnitude >> 6
    while rest:
        segment, rest = segment + 1, rest >> 1
    code = (8 - segment) << 4 | 15 - (magnitude >> segment & 15)
    return code | 0x80 if sample >= 0 else code


def reference_alaw(sample: int) -> int:
    """One sample, with the shifts and loops of the recommendation's reference code."""
    code = (~sample if sample < 0 else sample) >> 4
    if code > 15:
        exponent = 1
        while code > 31:
            code, exponent = code >> 1, exponent + 1
        code += (exponent << 4) - 16
    return (code | 0x80 if sample >= 0 else code) ^ 0x55


@both_laws
def test_encoding_a_decoded_level_gives_the_level_again(encode: Encode, decode: Decode) -> None:
    levels = decode(ALL_CODES)
    np.testing.assert_array_equal(decode(encode(levels)), levels)


def test_every_code_has_a_level_of_its_own_but_for_the_two_mulaw_zeros() -> None:
    assert alaw_encode(alaw_decode(ALL_CODES)) == ALL_CODES
    # 0x7F is "negative zero", which linear samples do not have.
    assert mulaw_encode(mulaw_decode(ALL_CODES)) == ALL_CODES.replace(b"\x7f", b"\xff")


@pytest.mark.parametrize(
    ("encode", "reference"),
    [(mulaw_encode, reference_mulaw), (alaw_encode, reference_alaw)],
    ids=["mulaw", "alaw"],
)
def test_every_sample_encodes_as_in_the_reference_code(
    encode: Encode, reference: Callable[[int], int]
) -> None:
    assert encode(ALL_SAMPLES) == bytes(reference(sample) for sample in ALL_SAMPLES.tolist())


def test_known_mulaw_levels() -> None:
    assert mulaw_decode(b"\xff\xfe\xf0\xef\x80\x7f\x7e\x00\x01").tolist() == [
        0,
        8,
        120,
        132,
        32124,
        0,
        -8,
        -32124,
        -31100,
    ]
    assert mulaw_encode(np.array([0, 8, 32767, -32768, -8], np.int16)) == b"\xff\xfe\x80\x00\x7e"


def test_known_alaw_levels() -> None:
    assert alaw_decode(b"\xd5\xd4\xc5\xaa\x55\x54\x2a\x80").tolist() == [
        8,
        24,
        264,
        32256,
        -8,
        -24,
        -32256,
        5504,
    ]
    assert alaw_encode(np.array([0, 8, 32767, -32768, -1], np.int16)) == b"\xd5\xd5\xaa\x2a\x55"


@both_laws
def test_louder_samples_never_get_a_lower_level(encode: Encode, decode: Decode) -> None:
    levels = decode(encode(ALL_SAMPLES)).astype(np.int64)
    assert (np.diff(levels) >= 0).all()


@both_laws
def test_the_error_stays_within_half_a_step_and_a_rounding(encode: Encode, decode: Decode) -> None:
    error = np.abs(decode(encode(ALL_SAMPLES)).astype(np.int64) - ALL_SAMPLES)
    # A step is 1/16 of its segment, so half a step is at most 1/32 of the sample; the innermost
    # steps are 8 (mu) and 16 (A) wide.
    inside = np.abs(ALL_SAMPLES.astype(np.int64)) <= 32124
    assert (error[inside] <= np.abs(ALL_SAMPLES.astype(np.int64))[inside] / 32 + 8).all()
    assert error.max() <= 32768 - 32124


@both_laws
def test_all_kinds_of_buffers_and_layouts_are_taken(encode: Encode, decode: Decode) -> None:
    levels = decode(ALL_CODES)
    assert levels.dtype == np.int16
    assert levels.shape == (256,)
    for codes in (bytearray(ALL_CODES), memoryview(ALL_CODES), np.frombuffer(ALL_CODES, np.uint8)):
        np.testing.assert_array_equal(decode(codes), levels)
    np.testing.assert_array_equal(decode(np.frombuffer(ALL_CODES, np.uint8)[::-2]), levels[::-2])
    assert encode(levels.astype(">i2")) == encode(levels)
    assert encode(levels[::3]) == encode(levels)[::3]


@both_laws
def test_nothing_encodes_and_decodes_to_nothing(encode: Encode, decode: Decode) -> None:
    assert encode(np.empty(0, np.int16)) == b""
    assert decode(b"").shape == (0,)


@both_laws
def test_a_decoded_array_belongs_to_the_caller(encode: Encode, decode: Decode) -> None:
    decode(ALL_CODES)[:] = 1
    assert len(set(decode(ALL_CODES).tolist())) >= 255


@both_laws
def test_other_arrays_are_refused(encode: Encode, decode: Decode) -> None:
    for wrong_codes in (np.zeros(3, np.int16), np.zeros((3, 1), np.uint8)):
        with pytest.raises(LocalProtocolError, match=r"expected uint8 codes of shape \(n,\)"):
            decode(wrong_codes)
    not_an_array: Any = [1, 2]
    with pytest.raises(LocalProtocolError, match=r"expected bytes or uint8 codes .*, got list"):
        decode(not_an_array)
    with pytest.raises(LocalProtocolError, match="samples in a numpy array, got list"):
        encode(not_an_array)
    wrong_samples: NDArray[Any] = np.zeros(3, np.float32)
    with pytest.raises(LocalProtocolError, match="expected int16 samples"):
        encode(wrong_samples)
