"""Audio for Realtime sessions: what events carry, sample formats, G.711, resampling, WAV files."""

from realtime_trio.audio.data import AudioData as AudioData, AudioLike as AudioLike
from realtime_trio.audio.g711 import (
    alaw_decode as alaw_decode,
    alaw_encode as alaw_encode,
    mulaw_decode as mulaw_decode,
    mulaw_encode as mulaw_encode,
)
from realtime_trio.audio.pcm import (
    G711_RATE as G711_RATE,
    PCM_RATE as PCM_RATE,
    float_from_pcm16 as float_from_pcm16,
    pcm16_from_float as pcm16_from_float,
    to_mono as to_mono,
)
from realtime_trio.audio.resample import Resampler as Resampler, resample as resample
from realtime_trio.audio.wav import (
    WavReader as WavReader,
    WavWriter as WavWriter,
    read_wav as read_wav,
    write_wav as write_wav,
)
