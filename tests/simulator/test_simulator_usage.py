"""What the simulated server bills: tokens of text and audio, cached ones, the account's limits."""

from __future__ import annotations

import numpy as np
import pytest
from service_client import Client, audio, only, usage

from realtime_trio.audio import alaw_encode, mulaw_encode, resample
from realtime_trio.events import (
    AudioFormat,
    CachedTokenDetails,
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
from realtime_trio.simulator.service.usage import (
    ASSISTANT_MS_PER_TOKEN,
    USER_MS_PER_TOKEN,
    InputTokens,
    audio_tokens,
    bytes_per_ms,
    duration_ms,
    encode_audio,
    make_rate_limits,
    make_usage,
    text_tokens,
    tokenize,
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


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("Hello, world!", ["Hello", ",", " world", "!"]),
        ("conversation", ["conver", "sation"]),
        ("a  b \n", ["a", "  b", " \n"]),
    ],
)
def test_text_is_cut_at_words_and_every_six_letters(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens
    assert text_tokens([text, None, text]) == 2 * len(tokens)


def test_a_minute_of_the_user_is_600_tokens_and_one_of_the_model_1200() -> None:
    assert audio_tokens(60_000, USER_MS_PER_TOKEN) == 600
    assert audio_tokens(60_000, ASSISTANT_MS_PER_TOKEN) == 1200
    assert (audio_tokens(0, 100), audio_tokens(0.1, 100), audio_tokens(100.1, 100)) == (0, 1, 2)


def test_a_millisecond_is_as_many_bytes_as_the_format_takes() -> None:
    formats = AudioFormat.pcm(), AudioFormat.pcmu(), AudioFormat.pcma()
    assert [bytes_per_ms(audio_format) for audio_format in formats] == [48, 8, 8]
    assert [duration_ms(4800, audio_format) for audio_format in formats] == [100, 600, 600]


def test_speech_is_brought_into_the_format_of_the_session() -> None:
    samples = (1000 * np.sin(np.arange(2400) / 20)).astype(np.int16)
    narrow = resample(samples, 24_000, 8_000)
    assert encode_audio(samples, AudioFormat.pcm()) == samples.tobytes()
    assert encode_audio(samples, AudioFormat.pcmu()) == mulaw_encode(narrow)
    assert encode_audio(samples, AudioFormat.pcma()) == alaw_encode(narrow)


@pytest.mark.parametrize(
    ("text", "audio", "cacheable", "cached_text", "cached_audio"),
    [
        (100, 100, 0, 0, 0),
        (100, 100, 63, 0, 0),
        (100, 100, 64, 64, 0),
        # A few tokens are lost between the two.
        (100, 100, 200, 64, 64),
        (128, 64, 1000, 128, 64),
        (0, 200, 150, 0, 128),
    ],
)
def test_text_and_audio_are_cached_in_whole_blocks(
    text: int, audio: int, cacheable: int, cached_text: int, cached_audio: int
) -> None:
    bill = make_usage(InputTokens(text=text, audio=audio, cacheable=cacheable), text=3, audio=4)
    details = bill.input_token_details
    assert details is not None
    assert details.cached_tokens == cached_text + cached_audio
    assert details.cached_tokens_details == CachedTokenDetails(
        text_tokens=cached_text, audio_tokens=cached_audio
    )
    assert (bill.input_tokens, bill.output_tokens) == (text + audio, 7)
    assert bill.total_tokens == text + audio + 7


def test_a_limit_is_full_again_when_its_share_of_a_minute_is_over() -> None:
    (limit,) = make_rate_limits(make_usage(InputTokens(text=90_000, audio=0), text=10_000, audio=0))
    assert limit.limit is not None
    assert limit.reset_seconds == round(60 * 100_000 / limit.limit, 3)
    (used_up,) = make_rate_limits(make_usage(InputTokens(text=10**8, audio=0), text=0, audio=0))
    assert used_up.remaining == 0
