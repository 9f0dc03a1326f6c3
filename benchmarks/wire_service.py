"""The service of the wire benchmarks: a process of its own that writes prepared frames.

It speaks as little of the protocol as clients need to be content: it greets with
`session.created`, answers `session.update`, takes appends, begins what it was told to do when a
client sends `input_audio_buffer.clear`, and ends a pace when it sends that again.  Everything it
says was put into frames beforehand (`wire_frames`), so that it is quicker than its clients; where
that matters, they tell how long they were idle.

Orders come as JSON lines on standard input, one answer each:

- `{"flow": "mix", "turns": 20}`: do so from now on; answers how many frames that is;
- `{"stats": true}`: answers what was counted since the last time.

Usage: wire_service.py CERTIFICATE [CORE].  Prints `{"plain": port, "tls": port}` first.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator

import orjson
from tool_service import accepting
from wire_frames import CREATED, MARK, PACE_HZ, STAMP_DIGITS, Flow, Pace, flood, frame, pace

_INTERVAL_NS = 1_000_000_000 // PACE_HZ
_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9
_GREETING = frame(CREATED)
_UPDATED = frame(CREATED.replace('"session.created"', '"session.updated"', 1))
_CLOSED = bytes([0x80 | _CLOSE, 2]) + (1000).to_bytes(2)
_CHUNK = 1 << 16


class Flood:
    """Frames to be written in one go."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames
        self.joined = b"".join(frames)


class Visitor:
    """A client's connection, after its handshake."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.is_encrypted = isinstance(connection, ssl.SSLSocket)
        self.is_gone = False
        self.is_paced = False
        self._input = bytearray()
        self._unsent = b""
        self._turn = 0

    def receive(self) -> Iterator[tuple[int, bytes]]:
        """The frames that have arrived, unmasked."""
        try:
            while True:
                received = self.socket.recv(1 << 18)
                if not received:
                    self.is_gone = True
                    break
                self._input += received
                if not self.is_encrypted:  # what TLS has decrypted wakes no selector
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.is_gone = True
        start = 0
        while (split := _split(self._input, start)) is not None:
            opcode, payload, start = split
            yield opcode, payload
        del self._input[:start]

    def send(self, frames: bytes) -> None:
        """Write, and what does not fit with the next call."""
        self._unsent += frames
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.is_gone = True

    def send_all(self, flood: Flood) -> None:
        """Write all of it before anything else happens."""
        self.socket.settimeout(60)
        if self.is_encrypted:  # a record per event, as from a service that does not hold them back
            for one in flood.frames:
                self.socket.sendall(one)
        else:
            self.socket.sendall(flood.joined)
        self.socket.setblocking(False)

    def send_stamped(self, of: Pace) -> None:
        """Write the next event of a pace, with the time in it."""
        before, after = of.stamped[self._turn % len(of.stamped)]
        self._turn += 1
        self.send(before + b"%0*d" % (STAMP_DIGITS, time.monotonic_ns()) + after)


def _split(data: bytearray, start: int) -> tuple[int, bytes, int] | None:
    """The frame that begins at `start`: opcode, payload and where the next one begins."""
    if len(data) < start + 6:
        return None
    length, head = data[start + 1] & 0x7F, start + 2
    if length >= 126:
        size = 2 if length == 126 else 8
        length, head = int.from_bytes(data[head : head + size]), head + size
    end = head + 4 + length
    if len(data) < end:
        return None
    mask = bytes(data[head : head + 4]) * (length // 4 + 1)
    payload = int.from_bytes(data[head + 4 : end]) ^ int.from_bytes(mask[:length])
    return data[start] & 0x0F, payload.to_bytes(length), end


class Service:
    """All visitors, and what they get."""

    def __init__(self, certificate: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        self._ports = {
            "plain": self._listen(lambda connection: connection),
            "tls": self._listen(
                lambda connection: self._tls.wrap_socket(connection, server_side=True)
            ),
        }
        self._orders = b""
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._obey)
        self._flood = Flood(MARK)
        self._pace: Pace | None = None
        self._due: list[tuple[int, int, Visitor]] = []
        self._appends = 0
        self._late_ns: list[int] = []
        self._cpu_ns = time.process_time_ns()

    def _listen(self, secure: Callable[[socket.socket], socket.socket]) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)

        def accept() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            connection.settimeout(10)
            connection = secure(connection)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(_CHUNK)
            connection.sendall(accepting(request))
            visitor = Visitor(connection)
            visitor.send_all(Flood(_GREETING))
            self._selector.register(connection, selectors.EVENT_READ, lambda: self._attend(visitor))

        self._selector.register(listener, selectors.EVENT_READ, accept)
        port: int = listener.getsockname()[1]
        return port

    def serve(self) -> None:
        """Serve until there are no more orders."""
        print(json.dumps(self._ports), flush=True)
        while True:
            wait = None
            if self._due:
                wait = max(0.0, (self._due[0][0] - time.monotonic_ns()) / 1e9)
            for key, _ in self._selector.select(wait):
                key.data()
            while self._due and self._due[0][0] <= (now := time.monotonic_ns()):
                due, number, visitor = heapq.heappop(self._due)
                if not visitor.is_paced or self._pace is None:
                    continue
                visitor.send_stamped(self._pace)
                self._late_ns.append(now - due)
                heapq.heappush(self._due, (due + _INTERVAL_NS, number, visitor))

    def _attend(self, visitor: Visitor) -> None:
        for opcode, payload in visitor.receive():
            if opcode == _TEXT:
                self._understand(visitor, orjson.loads(payload)["type"])
            elif opcode == _PING:
                visitor.send(bytes([0x8A, len(payload)]) + payload)
            elif opcode == _CLOSE:
                visitor.send(_CLOSED)
                visitor.is_gone = True
        if visitor.is_gone:
            visitor.is_paced = False
            self._selector.unregister(visitor.socket)
            visitor.socket.close()

    def _understand(self, visitor: Visitor, wire_type: str) -> None:
        if wire_type == "input_audio_buffer.append":
            self._appends += 1
        elif wire_type == "session.update":
            visitor.send(_UPDATED)
        elif wire_type == "input_audio_buffer.clear":
            if self._pace is None:
                visitor.send_all(self._flood)
            elif visitor.is_paced:
                visitor.is_paced = False
                visitor.send(MARK)
            else:
                visitor.is_paced = True
                visitor.send(b"".join(self._pace.opening))
                heapq.heappush(self._due, (time.monotonic_ns(), id(visitor), visitor))

    def _obey(self) -> None:
        received = os.read(sys.stdin.fileno(), _CHUNK)
        if not received:
            sys.exit()
        *lines, self._orders = (self._orders + received).split(b"\n")
        for line in lines:
            order = json.loads(line)
            answer = self._stats() if "stats" in order else self._prepare(**order)
            print(json.dumps(answer), flush=True)

    def _prepare(self, flow: Flow, turns: int = 1) -> dict[str, float]:
        self._pace, self._flood = None, Flood(MARK)
        if flow in ("A", "B"):
            self._pace = pace(flow)
        elif flow != "sink":
            self._flood = Flood(*flood(flow, turns), MARK)
        gc.collect()
        gc.freeze()
        self._stats()
        return {"events": len(self._flood.frames)}

    def _stats(self) -> dict[str, float]:
        late = sorted(self._late_ns)
        cpu_ns = time.process_time_ns()
        answer = {
            "cpu_s": (cpu_ns - self._cpu_ns) / 1e9,
            "appends": self._appends,
            "sent": len(late),
            "late_p99_ms": late[len(late) * 99 // 100] / 1e6 if late else 0.0,
        }
        self._cpu_ns, self._appends, self._late_ns = cpu_ns, 0, []
        return answer


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    Service(sys.argv[1]).serve()
