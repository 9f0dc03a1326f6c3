"""A chat completions endpoint that streams what a test gives it, on a real socket."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from attrs import define, field

DONE = b"data: [DONE]\n\n"


def chunk(*, finish_reason: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return (
        f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()
    )


def call_chunk(arguments: str = "", *, index: int | None = None, **call: object) -> bytes:
    """A piece of a call; `name` and `id` as keywords."""
    function = {"arguments": arguments} | ({"name": call.pop("name")} if "name" in call else {})
    return chunk(
        tool_calls=[
            {
                "type": "function",
                "function": function,
                **({} if index is None else {"index": index}),
                **call,
            }
        ]
    )


@define
class Served:
    """An endpoint at a port: it gives every connection one answer.

    `left` is set when the client has closed the connection.
    """

    body: Sequence[bytes]
    hangs_up: bool = False
    url: str = ""
    request: bytes = b""
    left: trio.Event = field(factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            while b'"stream":true' not in self.request:
                self.request += await stream.receive_some()
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\n"
                b"Content-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for piece in self.body:
                await stream.send_all(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not self.hangs_up:
                # A client that closes with unread data resets the connection.
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some() == b""
                self.left.set()


@asynccontextmanager
async def served(*body: bytes, hangs_up: bool = False) -> AsyncIterator[Served]:
    endpoint = Served(body, hangs_up)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, endpoint.serve, 0, host="127.0.0.1")
            )
            endpoint.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            yield endpoint
            nursery.cancel_scope.cancel()
    gc.collect()  # what is not closed properly warns when it is collected
