"""The service of `bench_tools`: one session that calls tools, and a clock.

It speaks as little of the protocol as that needs.  It blocks, has no tasks, and while it waits it
does nothing but wait, so that it costs every client the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from attrs import frozen
from corpus import voice_turn

PAUSE_S: Final = 0.004
"""Before a message whose answer is timed, so that the client is done with what came before."""
QUIET_S: Final = 0.1
"""After this long nothing follows any more."""
PATIENCE_S: Final = 30.0
"""A client that says nothing for so long has failed."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_SESSION: Final = json.loads(voice_turn()[0])["session"]

Json = dict[str, object]


@frozen
class Sent:
    """An event of the client, and when its last byte was there."""

    time: float
    """Seconds of `time.perf_counter()`."""
    event: Mapping[str, object]

    @property
    def type(self) -> object:
        """Of the event."""
        return self.event["type"]


@frozen
class Turn:
    """What became of one response with calls; times are in seconds."""

    outputs: tuple[str, ...]
    """In the order of the calls."""
    output_s: float
    """From the calls to the last output: just before the last one is written, until its output is
    read."""
    create_s: float
    """To the `response.create` that reads all outputs: from just before the end of the response is
    written."""
    creates: int = 1
    """How many `response.create` were sent."""
    outputs_before_create: int = 1
    """How many outputs had been sent when the first of them was."""


class Service:
    """One session.  The client configures it, and then only answers calls.

    Args:
        connection: An accepted connection, before its handshake.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._input = bytearray()
        self._ids = 0
        self._shake_hands()
        self._write({"type": "session.created", "event_id": self._id("event"), "session": _SESSION})
        while self._read().type != "session.update":
            pass
        time.sleep(PAUSE_S)

    def call(self, name: str, arguments: Mapping[str, str]) -> Turn:
        """Make one call in a response of its own, whose end waits for the output.

        So there are two answers to time: the output and the next request for a response.
        """
        response_id = self._id("resp")
        call = self._item(name, arguments)
        self._write(self._created(response_id), *self._begun(response_id, 0, call))
        time.sleep(PAUSE_S)
        called = self._write(*self._finished(response_id, 0, call))
        output = self._read_until("conversation.item.create")
        self._write(*self._acknowledged(output))
        time.sleep(PAUSE_S)
        done = self._write(self._done(response_id, [call]))
        create = self._read_until("response.create")
        assert _call_id(output) == call["call_id"]
        return Turn((_output(output),), output.time - called, create.time - done)

    def call_many(self, name: str, calls: Sequence[Mapping[str, str]]) -> Turn:
        """Make calls in one response, all at once, and see it through until nothing follows."""
        response_id = self._id("resp")
        items = [self._item(name, arguments) for arguments in calls]
        messages = [self._created(response_id)]
        for index, item in enumerate(items):
            messages += [
                *self._begun(response_id, index, item),
                *self._finished(response_id, index, item),
            ]
        time.sleep(PAUSE_S)
        called = self._write(*messages, self._done(response_id, items))
        outputs: dict[object, Sent] = {}
        creates: list[Sent] = []
        outputs_before_create = len(items)
        while len(outputs) < len(items):
            sent = self._read()
            if sent.type == "response.create":
                outputs_before_create = min(outputs_before_create, len(outputs))
                creates.append(sent)
                self._answer(sent)
            elif sent.type == "conversation.item.create":
                assert _call_id(sent) not in outputs, "a call was answered twice"
                outputs[_call_id(sent)] = sent
        self._write(
            *(message for output in outputs.values() for message in self._acknowledged(output))
        )
        creates.append(self._read_until("response.create"))
        last_output, create = max(output.time for output in outputs.values()), creates[-1]
        self._answer(create)
        self._socket.settimeout(QUIET_S)
        try:
            while True:
                creates.append(self._read_until("response.create"))
                self._answer(creates[-1])
        except TimeoutError:
            self._socket.settimeout(PATIENCE_S)
        return Turn(
            outputs=tuple(_output(outputs[item["call_id"]]) for item in items),
            output_s=last_output - called,
            create_s=create.time - called,
            creates=len(creates),
            outputs_before_create=outputs_before_create,
        )

    def say_goodbye(self) -> None:
        """Do the closing handshake; the owner of the connection then hangs up, as servers do."""
        self._send_frame(_CLOSE, (1000).to_bytes(2))
        while self._read_frame()[0] != _CLOSE:
            pass

    # --- events -----------------------------------------------------------------------------------

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._ids:021}"

    def _event(self, wire_type: str, **fields: object) -> Json:
        return {"type": wire_type, "event_id": self._id("event"), **fields}

    def _item(self, name: str, arguments: Mapping[str, str]) -> Json:
        text = json.dumps(arguments, separators=(",", ":"))
        return {
            "id": self._id("item"),
            "type": "function_call",
            "status": "completed",
            "name": name,
            "call_id": self._id("call"),
            "arguments": text,
        }

    def _created(self, response_id: str, metadata: object = None) -> Json:
        return self._event(
            "response.created", response=_response(response_id, "in_progress", [], metadata)
        )

    def _done(self, response_id: str, items: list[Json], metadata: object = None) -> Json:
        return self._event(
            "response.done", response=_response(response_id, "completed", items, metadata)
        )

    def _begun(self, response_id: str, index: int, item: Json) -> tuple[Json, ...]:
        begun = {**item, "status": "in_progress", "arguments": ""}
        same = {"response_id": response_id, "output_index": index}
        whose = {
            "item_id": item["id"],
            "call_id": item["call_id"],
            "name": item["name"],
            "arguments": item["arguments"],
        }
        return (
            self._event("response.output_item.added", **same, item=begun),
            self._event("conversation.item.added", previous_item_id=None, item=begun),
            self._event("response.function_call_arguments.done", **same, **whose),
        )

    def _finished(self, response_id: str, index: int, item: Json) -> tuple[Json, ...]:
        return (
            self._event("conversation.item.done", previous_item_id=None, item=item),
            self._event(
                "response.output_item.done", response_id=response_id, output_index=index, item=item
            ),
        )

    def _acknowledged(self, output: Sent) -> tuple[Json, ...]:
        item = output.event["item"]
        assert isinstance(item, dict)
        item = {"id": self._id("item"), **item, "status": "completed"}
        return tuple(
            self._event(f"conversation.item.{what}", previous_item_id=None, item=item)
            for what in ("added", "done")
        )

    def _answer(self, create: Sent) -> None:
        """Answer a create with a response that says nothing and repeats the metadata."""
        config = create.event.get("response")
        metadata = config.get("metadata") if isinstance(config, dict) else None
        response_id = self._id("resp")
        self._write(self._created(response_id, metadata), self._done(response_id, [], metadata))

    # --- wire -------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += self._receive()
        self._socket.sendall(accepting(request))

    def _write(self, *events: Json) -> float:
        """Write events in one go, and return when that began."""
        frames = b"".join(
            _frame(_TEXT, json.dumps(event, separators=(",", ":")).encode()) for event in events
        )
        began = time.perf_counter()
        self._socket.sendall(frames)
        return began

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        self._socket.sendall(_frame(opcode, payload))

    def _read_until(
        self, wire_type: Literal["conversation.item.create", "response.create"]
    ) -> Sent:
        sent = self._read()
        assert sent.type == wire_type, f"expected {wire_type}, got {sent.event}"
        return sent

    def _read(self) -> Sent:
        """Read the next event; configurations are taken on the way."""
        while True:
            opcode, payload, arrived = self._read_frame()
            if opcode == _PING:
                self._send_frame(_PONG, payload)
                continue
            assert opcode == _TEXT, (
                f"expected an event, got a frame with opcode {opcode}: {payload!r}"
            )
            sent = Sent(arrived, json.loads(payload))
            if sent.type == "session.update":
                session = sent.event["session"]
                assert isinstance(session, dict)
                self._write(
                    self._event(
                        "session.updated", session=_SESSION | {"tools": session.get("tools", [])}
                    )
                )
            return sent

    def _read_frame(self) -> tuple[int, bytes, float]:
        """Read one frame, all of it masked as clients do, and when its last byte was there."""
        arrived = time.perf_counter()
        while True:
            if len(self._input) >= 6:
                length, head = self._input[1] & 0x7F, 2
                if length >= 126:
                    head += 2 if length == 126 else 8
                    length = int.from_bytes(self._input[2:head])
                head += 4
                if len(self._input) >= head + length:
                    break
            self._input += self._receive()
            arrived = time.perf_counter()
        opcode, mask = self._input[0], bytes(self._input[head - 4 : head])
        assert opcode & self._input[1] & 0x80, "messages are whole, and clients mask them"
        payload = int.from_bytes(self._input[head : head + length]) ^ int.from_bytes(
            (mask * (length // 4 + 1))[:length]
        )
        del self._input[: head + length]
        return opcode & 0x0F, payload.to_bytes(length), arrived

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 18)
        assert received, "the client has gone"
        return received


def accepting(request: bytes) -> bytes:
    """The answer to a client's request for a WebSocket."""
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert key is not None, request
    accepted = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, size])
    elif size < 1 << 16:
        head = bytes([0x80 | opcode, 126]) + size.to_bytes(2)
    else:
        head = bytes([0x80 | opcode, 127]) + size.to_bytes(8)
    return head + payload


def _response(response_id: str, status: str, output: list[Json], metadata: object) -> Json:
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": status,
        "status_details": None,
        "output": output,
        "conversation_id": "conv_000000000000000000001",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "usage": None,
        "metadata": metadata,
    }


def _call_id(output: Sent) -> object:
    item = output.event["item"]
    assert isinstance(item, dict)
    assert item["type"] == "function_call_output"
    return item["call_id"]


def _output(output: Sent) -> str:
    item = output.event["item"]
    assert isinstance(item, dict)
    return str(item["output"])
