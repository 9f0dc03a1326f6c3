"""Playback: what is to be heard, what was heard, and what an interruption has to tell the model."""

from realtime_trio.playback.part import PlayedPart as PlayedPart
from realtime_trio.playback.playback import Interruption as Interruption, Playback as Playback
