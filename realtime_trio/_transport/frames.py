"""The frames of RFC 6455, as far as most messages need them: whole ones, one frame each.

Owns what a plain frame is, reading it and writing it.  Everything else - control frames, fragments,
frames that are too long or against the protocol - is cut out of the stream as it is and left to
trio-websocket, which answers it, puts it together or fails.  Pure: bytes in, messages out.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from realtime_trio import _elsewhere

if TYPE_CHECKING:
    import numpy as np
else:
    np = _elsewhere.module("numpy")

_FIN: Final = 0x80
_TEXT: Final = 1
_BINARY: Final = 2
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | _TEXT
_WHOLE_BINARY: Final = _FIN | _BINARY

_LONG_LENGTH: Final = 126
"""In the place of a length: it follows in 2 bytes."""
_LONGER_LENGTH: Final = 127
"""In the place of a length: it follows in 8 bytes."""
_MAX_CONTROL_LENGTH: Final = 125
_LONGEST_HEAD: Final = 14
"""Bytes before a payload: two, the longest length, and the mask."""
_MASK_BY_ARRAY: Final = 700
"""Bytes from which numpy is faster at masking than one long integer (measured).  It is not loaded
for that: a program that has no other use of it would wait for it when it first sends audio."""


class FrameLane:
    """Lifts whole messages out of a stream of frames; whatever is not plain is passed on.

    It must see every byte behind the handshake.  `feed` it, then call `lift` until that returns
    nothing; each return but the last is a piece of the stream that somebody else has to read, at
    its place in the order.

    Args:
        masks: Whether the peer masks its frames, as clients must and servers must not.
        limit: Bytes of the longest message to lift.  A longer one may still be short enough in
            characters, which is not for the lane to find out.
    """

    def __init__(self, *, masks: bool, limit: int) -> None:
        self._masks = _MASKED if masks else 0
        self._limit = limit
        self._data: bytes | bytearray = b""
        self._at = 0
        self._behind = b""
        self._behind_at = 0
        """What comes behind `_data`, which is one whole frame then, and where it begins there."""
        self._needed = 2
        """Bytes that must be there for the next step; joining less would only cost time."""
        self._is_in_fragments = False
        self._passing = 0
        """Bytes still to come of a frame that is passed on."""
        self._owes_then = False
        """Whether that frame completes a message."""
        self.owes = False
        """Whether what was passed on completes a message, which comes before all that is lifted
        from here on.  Nothing is lifted until this is set back."""
        self.is_down = False
        """Whether all is passed on from here on: behind a close frame, or an offence."""

    def feed(self, data: bytes) -> None:
        """Take what has come from the peer."""
        if self._at == len(self._data):
            self._data = data
            self._at = 0
            return
        missing = self._at + self._needed - len(self._data)
        if self._needed > _LONGEST_HEAD and 0 < missing < len(data):
            # A frame gets its end.  What is behind that need not be copied together with it.
            self._data += data[:missing]
            self._behind, self._behind_at = data, missing
        else:
            self._join()
            self._data += data

    def lift(self, messages: list[str | bytes]) -> bytes:
        """Append the messages that are complete to `messages`, up to something to pass on.

        Returns:
            What is to be passed on; nothing if more data is needed or a message is owed.
        """
        if self.owes:
            return b""
        if self._passing or self.is_down:
            return self._pass_on()
        data, end = self._data, len(self._data)
        at, needed = self._at, self._needed
        while end - at >= needed:
            first, second = data[at], data[at + 1]
            length = second ^ self._masks
            start = at + 2
            if length >= _LONG_LENGTH:
                if length > _LONGER_LENGTH:  # masked and should not be, or the other way round
                    return self._go_down()
                size = 2 if length == _LONG_LENGTH else 8
                start += size
                if end < start:
                    return self._wait_for(start - at)
                length = int.from_bytes(data[start - size : start])
                if length < (_LONG_LENGTH if size == 2 else 2**16) or length >= 2**63:
                    return self._go_down()
            if self._masks:
                start += 4
            is_plain = first in (_WHOLE_TEXT, _WHOLE_BINARY) and not self._is_in_fragments
            if not is_plain or length > self._limit:
                if not self._passes(first, length):
                    return self._go_down()
                self._passing = start + length - at
                return self._pass_on()
            stop = start + length
            if end < stop:
                return self._wait_for(stop - at)
            payload: bytes | bytearray = data[start:stop]
            if self._masks:
                payload = masked(payload, data[start - 4 : start])
            if first == _WHOLE_TEXT:
                try:
                    messages.append(payload.decode())
                except UnicodeDecodeError:
                    return self._go_down()
            else:
                messages.append(bytes(payload))
            self._at = at = stop
            self._needed = needed = 2
            if stop == end:
                # Let go of it: the next message may be a long time coming.
                data, at = self._data, self._at = self._behind, self._behind_at
                self._behind, self._behind_at = b"", 0
                if not data:
                    return b""
                end = len(data)
        return self._wait_for(needed)

    def _wait_for(self, needed: int) -> bytes:
        """Keep what has come of the next frame, and no more than that."""
        self._needed = needed
        if self._at or not isinstance(self._data, bytearray):
            # Grows in place from here on: a long frame may come in many pieces.
            self._data = bytearray(memoryview(self._data)[self._at :])
            self._at = 0
        return b""

    def _passes(self, first: int, length: int) -> bool:
        """Note what a frame that is not plain begins or ends; False if all ends with it."""
        opcode = first & 0x0F
        if first & 0x70 or opcode not in (0, _TEXT, _BINARY, _PING, _PONG):
            return False  # extensions that nobody asked for, the close frame, unknown frames
        if opcode in (_PING, _PONG):
            self._owes_then = False
            return bool(first & _FIN) and length <= _MAX_CONTROL_LENGTH
        if (opcode == 0) != self._is_in_fragments:
            return False
        self._is_in_fragments = not first & _FIN
        self._owes_then = bool(first & _FIN)
        return True

    def _go_down(self) -> bytes:
        self.is_down = True
        return self._pass_on()

    def _join(self) -> None:
        if self._behind:
            self._data += self._behind[self._behind_at :]
            self._behind, self._behind_at = b"", 0

    def _pass_on(self) -> bytes:
        self._join()
        rest = len(self._data) - self._at
        size = rest if self.is_down else min(self._passing, rest)
        passed = bytes(self._data[self._at : self._at + size])
        self._at += size
        if not self.is_down:
            self._passing -= size
            self._needed = 2
            if not self._passing:
                self.owes = self._owes_then
        return passed


def frame(message: str | bytes, *, masks: bool) -> bytes:
    """Write a message as one frame.

    Args:
        message: Text, or bytes for a binary frame.
        masks: Whether to mask it, as a client must.

    Raises:
        UnicodeEncodeError: The text holds half of a surrogate pair.
    """
    if isinstance(message, str):
        first, payload = _WHOLE_TEXT, message.encode()
    else:
        first, payload = _WHOLE_BINARY, message
    length = len(payload)
    flag = _MASKED if masks else 0
    if length < _LONG_LENGTH:
        head = bytes((first, flag | length))
    elif length < 2**16:
        head = bytes((first, flag | _LONG_LENGTH, length >> 8, length & 0xFF))
    else:
        head = bytes((first, flag | _LONGER_LENGTH)) + length.to_bytes(8)
    if not masks:
        return head + payload
    # Unpredictable, so that nobody who chooses the payload can choose the bytes on the wire.
    mask = os.urandom(4)
    return b"".join((head, mask, masked(payload, mask)))


def masked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Mask a payload, or take the mask off."""
    length = len(payload)
    if length < _MASK_BY_ARRAY or "numpy" not in sys.modules:
        key = int.from_bytes((mask * (length // 4 + 1))[:length])
        return (int.from_bytes(payload) ^ key).to_bytes(length)
    # In whole words: what fills up the last one is cut off again.
    words = np.frombuffer(payload + bytes(-length % 8), np.uint64)
    return (words ^ np.frombuffer(mask + mask, np.uint64)).tobytes()[:length]
