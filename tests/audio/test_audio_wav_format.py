"""What the header of a WAV file means, and the samples behind it."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio.audio.g711 import alaw_encode, mulaw_encode
from realtime_trio.audio.wav_format import HEADER_SIZE, UNKNOWN_SIZE, WavFormat, header
from realtime_trio.errors import LocalProtocolError

SAMPLES = np.array([[0, 256], [-32768, 32512], [-256, 1024]], np.int16)


def fields(encoding: int, bits: int, channels: int = 1, rate: int = 24_000) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", encoding, channels, rate, rate * frame, frame, bits)


@pytest.mark.parametrize(
    ("encoding", "bits", "data"),
    [
        (1, 8, ((SAMPLES >> 8) + 128).astype(np.uint8).tobytes()),
        (1, 16, SAMPLES.astype("<i2").tobytes()),
        (1, 24, b"".join(b"\xff" + sample.tobytes() for sample in SAMPLES.astype("<i2").flat)),
        (1, 32, (SAMPLES.astype("<i4") << 16 | 0xFFFF).tobytes()),
        (3, 32, (SAMPLES.astype("<f4") / 32767.5).tobytes()),
        (3, 64, (SAMPLES.astype("<f8") / 32767.5).tobytes()),
    ],
)
def test_every_width_keeps_the_upper_16_bits(encoding: int, bits: int, data: bytes) -> None:
    form = WavFormat.of(fields(encoding, bits, 2, 48_000))
    assert (form.channels, form.rate, form.frame_size) == (2, 48_000, bits // 4)
    decoded = form.decode(data)
    assert decoded.dtype == np.int16
    # Of floats, the last bit depends on rounding.
    np.testing.assert_allclose(decoded, SAMPLES, atol=encoding == 3)


def test_g711_is_understood() -> None:
    tones = np.array([0, 1000, -1000, 30_000], np.int16)
    for encoding, data in ((6, alaw_encode(tones)), (7, mulaw_encode(tones))):
        decoded = WavFormat.of(fields(encoding, 8)).decode(data)
        assert decoded.shape == (4, 1)
        np.testing.assert_allclose(decoded[:, 0], tones, atol=1000)


def test_the_extensible_format_names_the_real_one() -> None:
    extension = struct.pack("<HHI", 22, 32, 3) + struct.pack("<H", 3) + bytes(14)
    assert WavFormat.of(fields(0xFFFE, 32) + extension).encoding == 3


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (b"", "has 0 bytes where 16 are the least"),
        (fields(1, 16, channels=0), "no channels"),
        (fields(1, 12), "12-bit samples with encoding 0x0001; allowed: PCM"),
        (fields(3, 16), "16-bit samples with encoding 0x0003"),
        (fields(6, 16), "16-bit samples with encoding 0x0006"),
        (fields(0x11, 4), "encoding 0x0011.*convert other compressed audio first"),
        (fields(0xFFFE, 16), "encoding 0xfffe"),
    ],
)
def test_what_cannot_be_read_is_refused(chunk: bytes, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        WavFormat.of(chunk)


@given(
    rate=st.integers(1, 192_000),
    channels=st.integers(1, 8),
    frames=st.integers(0, 20),
)
def test_a_header_is_what_the_standard_library_reads(rate: int, channels: int, frames: int) -> None:
    size = frames * channels * 2
    content = header(rate, channels, size) + bytes(size)
    assert len(content) == HEADER_SIZE + size
    with wave.open(io.BytesIO(content)) as file:
        assert file.getparams()[:4] == (channels, 2, rate, frames)
    assert WavFormat.of(content[20:36]) == WavFormat(
        encoding=1, channels=channels, rate=rate, bits=16
    )


@pytest.mark.parametrize("size", [UNKNOWN_SIZE, UNKNOWN_SIZE - 10, 1 << 40])
def test_what_is_too_long_for_a_header_goes_to_the_end(size: int) -> None:
    content = header(24_000, 1, size)
    assert content[4:8] == b"\xff\xff\xff\xff"
    assert struct.unpack("<I", content[40:44]) == (min(size, UNKNOWN_SIZE),)
