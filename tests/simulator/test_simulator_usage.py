"""What the simulated server bills: tokens of text and audio, cached ones, the account's limits."""

from __future__ import annotations

import numpy as np
from service_client import Client, audio, only, usage

from realtime_trio.events import (
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    RateLimitsUpdated,
    ResponseConfig,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    UserMessage,
)
from realtime_trio.simulator import (
    Reply,
)


def test_audio_is_billed_by_its_length_and_text_by_its_pieces() -> None:
    client = Client(Reply.speech("Yes.", np.zeros(24_000, np.int16)), Reply.text("No."))
    client.send(SessionUpdate(session=SessionConfig(instructions="")))
    client.send(InputAudioBufferAppend(audio=audio(1050)), InputAudioBufferCommit())
    first = usage(client.send(ResponseCreate()))
    assert first.input_token_details is not None
    assert (first.input_token_details.audio_tokens, first.input_token_details.text_tokens) == (
        11,
        0,
    )
    assert (first.input_tokens, first.output_tokens, first.total_tokens) == (11, 22, 33)
    second = usage(client.send(ResponseCreate()))
    assert second.input_token_details is not None
    assert (second.input_token_details.audio_tokens, second.input_token_details.text_tokens) == (
        31,
        2,
    )


def test_what_was_read_before_is_cached_in_blocks_of_64() -> None:
    client = Client(text=True)
    client.send(SessionUpdate(session=SessionConfig(instructions="word " * 200)))
    client.send(ConversationItemCreate(item=FunctionCall(name="f", arguments="{}", call_id="c")))
    client.send(ConversationItemCreate(item=FunctionCallOutput(call_id="c", output="7")))
    client.send(ConversationItemCreate(item=UserMessage.audio(audio(15_000))))
    reads = [usage(client.send(ResponseCreate())).input_token_details for _ in range(2)]
    apart = usage(
        client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    ).input_token_details
    first, second = reads
    assert first is not None
    assert second is not None
    assert apart is not None
    assert (first.cached_tokens, apart.cached_tokens) == (0, 0)
    assert second.cached_tokens_details is not None
    cached = (second.cached_tokens_details.text_tokens, second.cached_tokens_details.audio_tokens)
    assert cached == (192, 128)
    assert second.cached_tokens == 320


def test_the_account_is_told_what_it_has_left() -> None:
    events = Client(text=True).send(ResponseCreate())
    (limit,) = only(events, RateLimitsUpdated).rate_limits
    assert limit.name == "tokens"
    assert limit.limit is not None
    assert limit.remaining == limit.limit - usage(events).total_tokens
