"""WAV files as they are found in the wild, and as we write them."""

from __future__ import annotations

import io
import struct
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.audio.g711 import alaw_decode, mulaw_decode
from realtime_trio.audio.resample import resample
from realtime_trio.audio.wav import WavReader, WavWriter, read_wav, write_wav
from realtime_trio.errors import LocalProtocolError

SAMPLES = np.array([0, 1, -1, 1000, -32768, 32767], np.int16)
EXAMPLE = Path(__file__).parents[2] / "examples" / "question.wav"


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return (
        name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)
    )


def form(encoding: int, bits: int, channels: int = 1, rate: int = 24_000) -> bytes:
    align = channels * bits // 8
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", encoding, channels, rate, rate * align, align, bits)
    )


def riff(*chunks: bytes) -> io.BytesIO:
    return io.BytesIO(chunk(b"RIFF", b"WAVE" + b"".join(chunks)))


class Pipe(io.BytesIO):
    """A file that cannot seek, like a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


@pytest.mark.parametrize(
    ("encoding", "bits", "body", "expected"),
    [
        (1, 8, bytes([0, 1, 127, 128, 129, 255]), [-32768, -32512, -256, 0, 256, 32512]),
        (1, 16, SAMPLES.astype("<i2").tobytes(), SAMPLES.tolist()),
        (
            1,
            24,
            b"\x00\x00\x80" + b"\xff\xff\x7f" + b"\x00\x34\x12" + b"\xff\xff\xff" + b"\xff\x00\x00",
            [-32768, 32767, 0x1234, -1, 0],
        ),
        (
            1,
            32,
            np.array([-(2**31), 2**31 - 1, 0x12345678, -1, 0xFFFF], "<i4").tobytes(),
            [-32768, 32767, 0x1234, -1, 0],
        ),
        (
            3,
            32,
            np.array([1, -1, 0.5, -0.5, 2, np.nan], "<f4").tobytes(),
            [32767, -32768, 16383, -16384, 32767, 0],
        ),
        # Signalling NaNs, at which hardware raises a flag that numpy makes a warning of.
        (3, 32, np.array([0x7FA00000, 0], "<u4").tobytes(), [0, 0]),
        (3, 64, np.array([0x7FF4000000000000, 0], "<u8").tobytes(), [0, 0]),
        (
            3,
            64,
            np.array([1, -1, 0.5, -0.5, -2, 0], "<f8").tobytes(),
            [32767, -32768, 16383, -16384, -32768, 0],
        ),
        (6, 8, bytes(range(256)), alaw_decode(bytes(range(256))).tolist()),
        (7, 8, bytes(range(256)), mulaw_decode(bytes(range(256))).tolist()),
    ],
)
def test_every_sample_format_becomes_16_bit(
    encoding: int, bits: int, body: bytes, expected: list[int]
) -> None:
    samples = read_wav(riff(form(encoding, bits), chunk(b"data", body)))
    assert samples.dtype == np.int16
    assert samples.tolist() == expected


def test_channels_are_averaged() -> None:
    frames = np.array([[100, 300], [-100, 100], [32767, 32767]], "<i2")
    assert read_wav(riff(form(1, 16, channels=2), chunk(b"data", frames.tobytes()))).tolist() == [
        200,
        0,
        32767,
    ]
    six = np.tile(np.array([[5], [7]], "<i2"), 6)
    assert read_wav(riff(form(1, 16, channels=6), chunk(b"data", six.tobytes()))).tolist() == [5, 7]


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_the_result_has_the_rate_asked_for(rate: int) -> None:
    samples = np.arange(2000).astype(np.int16)
    file = riff(form(1, 16, rate=rate), chunk(b"data", samples.astype("<i2").tobytes()))
    np.testing.assert_array_equal(read_wav(file), resample(samples, rate, 24_000))
    file.seek(0)
    np.testing.assert_array_equal(read_wav(file, rate), samples)


def test_the_extensible_format_is_understood() -> None:
    guid = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
    extension = struct.pack("<HHI", 22, 32, 4) + guid
    body = struct.pack("<HHIIHH", 0xFFFE, 1, 24_000, 96_000, 4, 32) + extension
    data = np.array([0.5, -0.5], "<f4").tobytes()
    assert read_wav(riff(chunk(b"fmt ", body), chunk(b"data", data))).tolist() == [16383, -16384]
    with pytest.raises(LocalProtocolError, match="encoding 0xfffe"):
        read_wav(riff(chunk(b"fmt ", body[:18]), chunk(b"data", data)))


def test_unknown_chunks_are_skipped_wherever_they_are() -> None:
    data = chunk(b"data", SAMPLES.astype("<i2").tobytes())
    odd, even = chunk(b"LIST", b"odd"), chunk(b"bext", b"even")
    assert read_wav(riff(odd, form(1, 16), even, data, odd)).tolist() == SAMPLES.tolist()
    assert read_wav(riff(data, odd, form(1, 16))).tolist() == SAMPLES.tolist()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 13])
def test_a_stream_recorded_without_its_length_is_read_to_the_end(size: int) -> None:
    content = (
        b"RIFF\xff\xff\xff\xffWAVE"
        + form(1, 16)
        + chunk(b"data", SAMPLES.astype("<i2").tobytes(), size)
    )
    assert read_wav(io.BytesIO(content)).tolist() == SAMPLES.tolist()


def test_a_file_cut_off_inside_a_frame_is_read_as_far_as_it_goes() -> None:
    content = riff(
        form(1, 16, channels=2), chunk(b"data", SAMPLES.astype("<i2").tobytes())
    ).getvalue()
    assert read_wav(io.BytesIO(content[:-1])).tolist() == [0, 499]
    assert read_wav(io.BytesIO(content[:44])).tolist() == []
    assert read_wav(io.BytesIO(content[:44] + b"\x01\x02\x03")).tolist() == []


def test_a_pipe_can_be_read() -> None:
    content = riff(form(1, 16), chunk(b"data", SAMPLES.astype("<i2").tobytes())).getvalue()
    assert read_wav(Pipe(content)).tolist() == SAMPLES.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WAV file"),
        (b"RIFF", "not a WAV file"),
        (b"ID3\x03 an mp3 file, certainly", "not a WAV file"),
        (b"RIFF\x04\x00\x00\x00AVI ", "not a WAV file"),
        (riff().getvalue(), "has no 'fmt' chunk"),
        (riff(form(1, 16)).getvalue(), "has no 'data' chunk"),
        (riff(chunk(b"data", b"")).getvalue(), "has no 'fmt' chunk"),
        (
            riff(chunk(b"fmt ", b"short"), chunk(b"data", b"")).getvalue(),
            "has 5 bytes where 16 are the least",
        ),
        (riff(form(1, 16, channels=0), chunk(b"data", b"")).getvalue(), "has no channels"),
        (
            riff(form(7, 16), chunk(b"data", b"\xff")).getvalue(),
            "16-bit samples with encoding 0x0007; allowed: PCM",
        ),
        (
            riff(form(0x55, 0), chunk(b"data", b"\xff")).getvalue(),
            "encoding 0x0055.*convert other compressed audio first",
        ),
        (riff(form(1, 12), chunk(b"data", b"\xff")).getvalue(), "12-bit samples"),
        (riff(form(1, 16, rate=96), chunk(b"data", b"")).getvalue(), "from 96 Hz to 24000 Hz"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        read_wav(io.BytesIO(content))


@given(
    content=st.binary(max_size=80),
    channels=st.integers(0, 3),
    bits=st.sampled_from([0, 8, 16, 24, 32, 64]),
    encoding=st.integers(0, 3),
)
def test_damaged_files_are_read_or_refused_with_our_error(
    content: bytes, channels: int, bits: int, encoding: int
) -> None:
    for file in (
        riff(content),
        riff(form(encoding, bits, channels), content),
        riff(form(encoding, bits, channels), chunk(b"data", content)),
    ):
        try:
            samples = read_wav(file)
        except LocalProtocolError:
            continue
        assert samples.ndim == 1
        assert samples.dtype == np.int16


# --- in blocks ------------------------------------------------------------------------------------


def noise(count: int, channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).integers(-30_000, 30_000, count * channels)
    return samples.astype("<i2").tobytes()


@given(
    frames=st.integers(0, 300),
    channels=st.integers(1, 3),
    rate=st.sampled_from([8_000, 22_050, 24_000, 48_000]),
    counts=st.lists(st.integers(1, 100), max_size=8),
    is_pipe=st.booleans(),
)
def test_blocks_joined_are_the_whole(
    frames: int, channels: int, rate: int, counts: list[int], is_pipe: bool
) -> None:
    content = riff(
        form(1, 16, channels, rate), chunk(b"data", noise(frames, channels)), chunk(b"LIST", b"x")
    ).getvalue()
    whole = read_wav(io.BytesIO(content))
    reader = WavReader(Pipe(content) if is_pipe else io.BytesIO(content))
    blocks = [reader.read(count) for count in counts]
    for block, count in zip(blocks, counts, strict=True):
        assert len(block) == count or len(reader.read(1)) == 0
    np.testing.assert_array_equal(np.concatenate([whole[:0], *blocks, *reader.blocks(50)]), whole)


class Zeros(io.RawIOBase):
    """A file of silence as long as one likes, which takes no memory, after a header."""

    def __init__(self, start: bytes, size: int) -> None:
        self._start = start
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._start:
            taken, self._start = self._start[:size], self._start[size:]
            return taken
        taken = bytes(min(size, self._left, 65536))  # a pipe gives at most that
        self._left -= len(taken)
        return taken


def test_a_long_file_takes_no_more_memory_than_a_short_one() -> None:
    start = riff(form(1, 16, 2, 24_000)).getvalue() + chunk(b"data", b"", 0xFFFFFFFF)
    peaks = []
    for seconds in (2, 120):
        size = seconds * 24_000 * 4
        tracemalloc.start()
        with WavReader(cast("BinaryIO", Zeros(start, size))) as reader:
            total = sum(map(len, reader.blocks(2_400)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == seconds * 24_000
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_a_reader_knows_how_much_is_left(rate: int) -> None:
    file = riff(form(1, 16, 2, 48_000), chunk(b"data", noise(48_000, 2)))
    with WavReader(file, rate) as reader:
        assert reader.format.rate == 48_000
        assert reader.seconds == 1.0
        reader.read(rate // 4)
        assert reader.seconds == pytest.approx(0.75, abs=0.01)
        assert sum(map(len, reader.blocks(1000))) == rate * 3 // 4
        assert reader.seconds == 0.0
    assert not file.closed


@pytest.mark.parametrize(
    ("size", "is_pipe", "seconds"),
    [
        (0xFFFFFFFF, True, None),
        (0x7FFFFFFF, True, None),
        (48_000, True, 1.0),
        (0xFFFFFFFF, False, 1.0),
        (96_000, False, 1.0),
    ],
)
def test_of_a_file_the_length_is_known_and_of_a_pipe_what_the_header_says(
    size: int, is_pipe: bool, seconds: float | None
) -> None:
    content = riff(form(1, 16)).getvalue() + chunk(b"data", bytes(48_000), size)
    reader = WavReader(Pipe(content) if is_pipe else io.BytesIO(content))
    assert reader.seconds == seconds
    assert len(reader.read(100_000)) == 24_000


@pytest.mark.parametrize("count", [0, -1])
def test_a_block_has_at_least_one_sample(count: int) -> None:
    reader = WavReader(riff(form(1, 16), chunk(b"data", bytes(8))))
    with pytest.raises(LocalProtocolError, match=f"at least 1 sample, not {count}"):
        reader.read(count)
    assert len(reader.read(9)) == 4


def test_a_reader_closes_what_it_has_opened_also_when_that_is_no_wav(tmp_path: Path) -> None:
    path = tmp_path / "not.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(LocalProtocolError, match="not a WAV file"):
        WavReader(path)  # a file left open would be a ResourceWarning
    write_wav(path, SAMPLES)
    with WavReader(path) as reader:
        assert reader.read(2).tolist() == SAMPLES[:2].tolist()
    reader.close()
    with pytest.raises(ValueError, match="closed file"):
        reader.read(2)


# --- writing --------------------------------------------------------------------------------------


def test_a_stereo_file_keeps_its_channels_apart(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    with WavWriter(path, 8_000, channels=2) as writer:
        writer.append(np.array([[1, 2], [3, 4]], np.int16))
        writer.append(np.empty((0, 2), np.int16))
        writer.append(np.array([[5, 6]], np.int16))
        for wrong in (SAMPLES, SAMPLES.reshape(-1, 3), np.zeros((2, 2), np.float32)):
            with pytest.raises(LocalProtocolError, match="expected int16 samples"):
                writer.append(wrong)  # type: ignore[arg-type] # of another shape or dtype
    with wave.open(str(path), "rb") as file:
        assert file.getparams()[:4] == (2, 2, 8_000, 3)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [1, 2, 3, 4, 5, 6]
    assert struct.unpack_from("<HHIIHH", path.read_bytes(), 20) == (1, 2, 8_000, 32_000, 4, 16)


@pytest.mark.parametrize("channels", [0, 0x8000])
def test_a_number_of_channels_that_no_header_can_say_is_refused(
    channels: int, tmp_path: Path
) -> None:
    with pytest.raises(LocalProtocolError, match=f"not {channels}"):
        WavWriter(tmp_path / "none.wav", channels=channels)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "missing.wav")


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
def test_a_written_file_is_what_the_standard_library_expects(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "written.wav"
    write_wav(path, SAMPLES, rate)
    with wave.open(str(path), "rb") as file:
        assert file.getparams()[:4] == (1, 2, rate, len(SAMPLES))
        assert file.readframes(100) == SAMPLES.astype("<i2").tobytes()
    assert read_wav(str(path), rate).tolist() == SAMPLES.tolist()


def test_a_written_file_object_stays_open_and_need_not_be_seekable() -> None:
    for file in (io.BytesIO(), Pipe()):
        write_wav(file, SAMPLES[::2].astype(">i2"))
        assert not file.closed
        assert read_wav(io.BytesIO(file.getvalue())).tolist() == SAMPLES[::2].tolist()


@given(sizes=st.lists(st.integers(0, 10), max_size=5))
def test_samples_written_as_they_arrive_make_the_same_file(sizes: list[int]) -> None:
    samples = np.arange(sum(sizes)).astype(np.int16)
    streamed, whole = io.BytesIO(), io.BytesIO()
    write_wav(whole, samples, 16_000)
    with WavWriter(streamed, 16_000) as writer:
        for part in np.split(samples, np.cumsum(sizes)):
            writer.append(part)
    assert streamed.getvalue() == whole.getvalue()
    assert streamed.tell() == len(whole.getvalue())


def test_a_writer_starts_where_the_file_object_is() -> None:
    file = io.BytesIO(b"12345")
    file.seek(5)
    with WavWriter(file) as writer:
        writer.append(SAMPLES)
    assert file.getvalue()[:5] == b"12345"
    assert read_wav(io.BytesIO(file.getvalue()[5:])).tolist() == SAMPLES.tolist()


def test_an_unfinished_file_is_readable() -> None:
    file = io.BytesIO()
    writer = WavWriter(file)
    writer.append(SAMPLES)
    assert read_wav(io.BytesIO(file.getvalue())).tolist() == SAMPLES.tolist()
    writer.close()


def test_a_pipe_gets_a_header_without_a_length() -> None:
    file = Pipe()
    with WavWriter(file) as writer:
        writer.append(SAMPLES)
    content = file.getvalue()
    assert content[4:8] == content[40:44] == b"\xff\xff\xff\xff"
    assert read_wav(io.BytesIO(content)).tolist() == SAMPLES.tolist()


def test_an_exception_in_the_body_still_finishes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "interrupted.wav"
    writer = WavWriter(path)
    writer.append(SAMPLES)
    with pytest.raises(ZeroDivisionError), writer:
        _ = 1 // 0
    with wave.open(str(path), "rb") as file:
        assert file.getnframes() == len(SAMPLES)


def test_a_closed_writer_closes_again_but_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "closed.wav"
    with WavWriter(path) as writer:
        writer.append(SAMPLES)
    writer.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        writer.append(SAMPLES)
    assert read_wav(path).tolist() == SAMPLES.tolist()


def test_other_arrays_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "refused.wav"
    wrong: NDArray[Any] = np.zeros(4, np.float32)
    with pytest.raises(LocalProtocolError, match="expected int16 samples"):
        write_wav(path, wrong)
    assert not path.exists()
    file = io.BytesIO()
    with (
        WavWriter(file) as writer,
        pytest.raises(LocalProtocolError, match="expected int16 samples"),
    ):
        writer.append(wrong)
    assert len(file.getvalue()) == 44


def test_the_example_question_is_a_few_seconds_of_speech() -> None:
    with wave.open(str(EXAMPLE), "rb") as file:
        assert file.getparams()[:3] == (1, 2, 22_050)
    samples = read_wav(EXAMPLE)
    assert 1.5 < len(samples) / 24_000 < 4
    assert 8_000 < np.abs(samples.astype(np.int64)).max() < 32_767


@pytest.mark.parametrize(
    "use",
    [read_wav, WavReader, lambda file: write_wav(file, np.zeros(3, np.int16)), WavWriter],
    ids=["read_wav", "WavReader", "write_wav", "WavWriter"],
)
@pytest.mark.parametrize(("file", "kind"), [(b"RIFF", "bytes"), (5, "int"), (None, "None")])
def test_what_is_not_a_file_is_refused(
    use: Callable[[Any], object], file: object, kind: str
) -> None:
    with pytest.raises(TypeError, match=rf"path or a binary file object .*BytesIO.*, not {kind}"):
        use(file)


def test_floats_on_another_scale_are_refused_in_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "scaled.wav"
    write_wav(path, np.zeros(6, np.int16))
    content = bytearray(path.read_bytes())
    content[20:22] = b"\x03\x00"  # float, of 32 bit
    content[34:36] = b"\x20\x00"
    content[44:] = np.array([0.0, 1000.0, -1000.0], "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(LocalProtocolError, match=r"samples in \[-1, 1\], got one of 1000"):
        read_wav(path)


def test_the_header_says_what_a_frame_is() -> None:
    file = io.BytesIO()
    write_wav(file, SAMPLES, 8_000)
    # PCM, channels, rate, bytes a second, bytes a frame, bits a sample
    assert struct.unpack_from("<HHIIHH", file.getvalue(), 20) == (1, 1, 8_000, 16_000, 2, 16)
