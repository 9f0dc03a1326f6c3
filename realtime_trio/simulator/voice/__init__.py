"""Ears and voices for the simulator, without any service: the extras `voice` and `voice-light`.

`voice` is `HibariVoice` and `WhisperEars`, `voice-light` is `EspeakVoice` and `PocketsphinxEars`;
`best_ears` and `best_voice` take what is installed.  See `Ears` and `Voice` in `roles` for one of
your own.
"""

from realtime_trio.simulator.voice.choice import best_ears as best_ears, best_voice as best_voice
from realtime_trio.simulator.voice.espeak_voice import EspeakVoice as EspeakVoice
from realtime_trio.simulator.voice.hibari_voice import (
    HibariVoice as HibariVoice,
    SpokenSentences as SpokenSentences,
)
from realtime_trio.simulator.voice.pocketsphinx_ears import PocketsphinxEars as PocketsphinxEars
from realtime_trio.simulator.voice.whisper_ears import WhisperEars as WhisperEars
