"""The guests of `bench_relay`, in a process of its own that does as little as possible for each.

A guest is a socket.  What it says was put into frames beforehand, and of what it hears only the
time is looked at that the service writes into every event.  Orders come as JSON lines on standard
input, one answer each:

- `{"join": URL, "guests": 100, "silent": 0}`: connect so many more, of which the last `silent` ask
  for events and never read them;
- `{"talk": 3.0}`: speak and listen for so many seconds; answers with the latencies;
- `{"leave": true}`: hang up.

Usage: relay_guests.py
"""

from __future__ import annotations

import base64
import gc
import heapq
import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from wire_frames import STAMP_DIGITS

APPEND_S: Final = 0.1
_GOLDEN: Final = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, lie evenly: no two guests speak at the same moment."""
_STAMP: Final = b'"event_id":"event_'


def masked(text: str) -> bytes:
    """A message as clients send it: one frame, with a mask that happens to be 0."""
    payload = text.encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2)
    return b"\x81" + length + bytes(4) + payload


APPEND: Final = masked(
    json.dumps(
        {
            "type": "input_audio_buffer.append",
            "audio": base64.b64encode(random.Random(1).randbytes(4800)).decode(),
        },
        separators=(",", ":"),
    )
)
BEGIN: Final = masked('{"type":"input_audio_buffer.clear"}')


class Guest:
    """One connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.socket = socket.create_connection((parts.hostname, parts.port))
        request = (
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        self.socket.sendall(request.encode())
        self._input = bytearray()
        while b"session.created" not in self._input:
            self._input += self.socket.recv(1 << 16)
        self._input.clear()
        self.socket.setblocking(False)
        self.appended = 0

    def send(self, frames: bytes) -> None:
        """Write; a relay that does not take it is too slow."""
        try:
            self.socket.sendall(frames)
        except BlockingIOError:
            sys.exit("the relay does not keep up with its guests")

    def receive(self) -> list[int]:
        """The times in the events that have arrived."""
        try:
            received = self.socket.recv(1 << 18)
        except BlockingIOError:
            return []
        if not received:
            sys.exit("the relay has hung up")
        self._input += received
        stamps, start = [], 0
        # The digits of one event may still be under way.
        while (at := self._input.find(_STAMP, start)) >= 0:
            start = at + len(_STAMP)
            if len(self._input) < start + STAMP_DIGITS:
                start = at
                break
            stamps.append(int(self._input[start : start + STAMP_DIGITS]))
        # What follows the last time, as far as it may be the beginning of another one.
        del self._input[: max(start, len(self._input) - len(_STAMP))]
        return [stamp for stamp in stamps if stamp]


class Crowd:
    """All guests."""

    def __init__(self) -> None:
        self._guests: list[Guest] = []
        self._silent: list[Guest] = []
        self._selector = selectors.DefaultSelector()

    def join(self, url: str, guests: int, silent: int = 0) -> Mapping[str, float]:
        """Connect so many more."""
        for number in range(guests):
            guest = Guest(url)
            if number < guests - silent:
                self._guests.append(guest)
                self._selector.register(guest.socket, selectors.EVENT_READ, guest)
            else:
                self._silent.append(guest)
        return {"guests": len(self._guests)}

    def talk(self, seconds: float, warm_s: float = 1.0) -> Mapping[str, float]:
        """Speak and listen for so long, and then be silent again."""
        begin = time.monotonic()
        due = [
            (begin + APPEND_S * (number * _GOLDEN % 1), number)
            for number in range(len(self._guests))
        ]
        heapq.heapify(due)
        for guest in (*self._guests, *self._silent):
            guest.send(BEGIN)
        latencies: list[int] = []
        late: list[float] = []
        cpu = time.process_time()
        counts_from, end = begin + warm_s, begin + warm_s + seconds
        while (now := time.monotonic()) < end:
            while due[0][0] <= now:
                moment, number = due[0]
                self._guests[number].send(APPEND)
                late.append(now - moment)
                heapq.heapreplace(due, (moment + APPEND_S, number))
            for key, _ in self._selector.select(max(0.0, due[0][0] - time.monotonic())):
                stamps = key.data.receive()
                if now >= counts_from:
                    arrived = time.monotonic_ns()
                    latencies += [arrived - stamp for stamp in stamps]
        busy = (time.process_time() - cpu) / (warm_s + seconds)
        self._settle()
        latencies.sort()
        late.sort()
        return {
            "p50_ms": latencies[len(latencies) // 2] / 1e6,
            "p99_ms": latencies[len(latencies) * 99 // 100] / 1e6,
            "max_ms": latencies[-1] / 1e6,
            "received": len(latencies) / (len(self._guests) * seconds * 50),
            "load": busy,
            "late_p99_ms": late[len(late) * 99 // 100] * 1e3,
        }

    def _settle(self) -> None:
        """End the paces, and take what is still under way."""
        for guest in self._guests:
            guest.send(BEGIN)
        while events := self._selector.select(0.3):
            for key, _ in events:
                key.data.receive()

    def leave(self) -> Mapping[str, float]:
        """Hang up."""
        for guest in self._guests:
            self._selector.unregister(guest.socket)
        for guest in (*self._guests, *self._silent):
            guest.socket.close()
        self._guests, self._silent = [], []
        return {}


def obey() -> None:
    """Carry out the orders of standard input."""
    crowd = Crowd()
    for line in sys.stdin:
        order = json.loads(line)
        gc.collect()
        match order:
            case {"join": str(url), "guests": int(guests)}:
                answer = crowd.join(url, guests, order.get("silent", 0))
            case {"talk": float(seconds)}:
                answer = crowd.talk(seconds)
            case _:
                answer = crowd.leave()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    gc.disable()
    obey()
