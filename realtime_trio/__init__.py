"""The OpenAI Realtime API for trio applications."""

from realtime_trio._version import __version__ as __version__
