"""The events of `corpus` as msgspec structs: the limit that our decoder is held against.

They show how fast a decoder written in C can be.

Faithful where it costs time: every field of every object in the corpus, optional ones included,
with the same unions.  Where the protocol allows more kinds of a thing than the corpus holds (items,
tools, sessions) only those are here that it needs, which favours msgspec.  Two things it leaves
undone that our codec does: messages are not told apart by role, and audio stays text.
"""

# ruff: noqa: D101 - what the classes mean stands in realtime_trio.events, under the same or longer
# names

from __future__ import annotations

from typing import Any

import msgspec


class Value(msgspec.Struct):
    """An object without a tag."""


class Tagged(msgspec.Struct, tag_field="type", tag="?"):
    """An object that its `type` tells apart from others."""


# --- values ---------------------------------------------------------------------------------------


class AudioFormat(Value):
    type: str | None = None
    rate: int | None = None


class NoiseReduction(Value):
    type: str | None = None
    strength: float | None = None


class Transcription(Value):
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    prompt: str | None = None
    delay: str | None = None


class ServerVad(Tagged, tag="server_vad"):
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: int | None = None


class SemanticVad(Tagged, tag="semantic_vad"):
    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class CustomVoice(Value):
    id: str


class FunctionTool(Tagged, tag="function"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolChoiceFunction(Tagged, tag="function"):
    name: str


class ToolChoiceMcp(Tagged, tag="mcp"):
    server_label: str
    name: str | None = None


class Tracing(Value):
    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class TokenLimits(Value):
    post_instructions: int | None = None


class RetentionRatio(Tagged, tag="retention_ratio"):
    retention_ratio: float
    token_limits: TokenLimits | None = None


class Prompt(Value):
    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class Reasoning(Value):
    effort: str | None = None


class SessionAudioInput(Value):
    format: AudioFormat | None = None
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: ServerVad | SemanticVad | None = None


class SessionAudioOutput(Value):
    format: AudioFormat | None = None
    voice: str | CustomVoice | None = None
    speed: float | None = None


class SessionAudio(Value):
    input: SessionAudioInput | None = None
    output: SessionAudioOutput | None = None


class RealtimeSession(Tagged, tag="realtime"):
    id: str = ""
    object: str | None = None
    expires_at: int | None = None
    output_modalities: tuple[str, ...] | None = None
    model: str | None = None
    instructions: str | None = None
    audio: SessionAudio | None = None
    include: tuple[str, ...] | None = None
    tracing: str | Tracing | None = None
    tools: tuple[FunctionTool, ...] | None = None
    tool_choice: str | ToolChoiceFunction | ToolChoiceMcp | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | str | None = None
    truncation: str | RetentionRatio | None = None
    prompt: Prompt | None = None


class InputText(Tagged, tag="input_text"):
    text: str = ""


class InputAudio(Tagged, tag="input_audio"):
    audio: str | None = None
    transcript: str | None = None


class OutputText(Tagged, tag="output_text"):
    text: str = ""


class OutputAudio(Tagged, tag="output_audio"):
    audio: str | None = None
    transcript: str | None = None
    format: str | None = None


class ContentPart(Value):
    type: str | None = None
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class Message(Tagged, tag="message"):
    """A message of anybody: msgspec tells unions apart by one field only."""

    role: str
    content: tuple[InputText | InputAudio | OutputText | OutputAudio, ...]
    id: str | None = None
    object: str | None = None
    status: str | None = None


class FunctionCall(Tagged, tag="function_call"):
    name: str
    arguments: str
    call_id: str | None = None
    id: str | None = None
    object: str | None = None
    status: str | None = None


class FunctionCallOutput(Tagged, tag="function_call_output"):
    call_id: str
    output: str
    id: str | None = None
    object: str | None = None
    status: str | None = None


Item = Message | FunctionCall | FunctionCallOutput


class CachedTokenDetails(Value):
    text_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0


class InputTokenDetails(Value):
    cached_tokens: int = 0
    text_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0
    cached_tokens_details: CachedTokenDetails | None = None


class OutputTokenDetails(Value):
    text_tokens: int = 0
    audio_tokens: int = 0


class ResponseUsage(Value):
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class ResponseErrorDetail(Value):
    type: str | None = None
    code: str | None = None
    message: str | None = None


class ResponseStatusDetails(Value):
    type: str | None = None
    reason: str | None = None
    error: ResponseErrorDetail | None = None


class ResponseAudioOutput(Value):
    format: AudioFormat | None = None
    voice: str | CustomVoice | None = None


class ResponseAudio(Value):
    output: ResponseAudioOutput | None = None


class Response(Value):
    id: str = ""
    object: str | None = None
    status: str | None = None
    status_details: ResponseStatusDetails | None = None
    output: tuple[Item, ...] = ()
    metadata: dict[str, Any] | None = None
    audio: ResponseAudio | None = None
    usage: ResponseUsage | None = None
    conversation_id: str | None = None
    output_modalities: tuple[str, ...] | None = None
    max_output_tokens: int | str | None = None


class RateLimit(Value):
    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


# --- events ---------------------------------------------------------------------------------------


class ServerEvent(Tagged):
    """What every event has."""

    event_id: str


class ContentEvent(ServerEvent):
    """What the events about one part of one item have in common."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class SessionCreated(ServerEvent, tag="session.created"):
    session: RealtimeSession


class SpeechStarted(ServerEvent, tag="input_audio_buffer.speech_started"):
    audio_start_ms: int
    item_id: str


class SpeechStopped(ServerEvent, tag="input_audio_buffer.speech_stopped"):
    audio_end_ms: int
    item_id: str


class Committed(ServerEvent, tag="input_audio_buffer.committed"):
    item_id: str
    previous_item_id: str | None = None


class ItemAdded(ServerEvent, tag="conversation.item.added"):
    item: Item
    previous_item_id: str | None = None


class ItemDone(ServerEvent, tag="conversation.item.done"):
    item: Item
    previous_item_id: str | None = None


class ResponseCreated(ServerEvent, tag="response.created"):
    response: Response


class ResponseDone(ServerEvent, tag="response.done"):
    response: Response


class OutputItemAdded(ServerEvent, tag="response.output_item.added"):
    response_id: str
    output_index: int
    item: Item


class OutputItemDone(ServerEvent, tag="response.output_item.done"):
    response_id: str
    output_index: int
    item: Item


class ContentPartAdded(ContentEvent, tag="response.content_part.added"):
    part: ContentPart


class ContentPartDone(ContentEvent, tag="response.content_part.done"):
    part: ContentPart


class AudioDelta(ContentEvent, tag="response.output_audio.delta"):
    delta: str


class AudioDone(ContentEvent, tag="response.output_audio.done"):
    pass


class TranscriptDelta(ContentEvent, tag="response.output_audio_transcript.delta"):
    delta: str
    obfuscation: str | None = None


class TranscriptDone(ContentEvent, tag="response.output_audio_transcript.done"):
    transcript: str


class ArgumentsDelta(ServerEvent, tag="response.function_call_arguments.delta"):
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str
    obfuscation: str | None = None


class ArgumentsDone(ServerEvent, tag="response.function_call_arguments.done"):
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class RateLimitsUpdated(ServerEvent, tag="rate_limits.updated"):
    rate_limits: tuple[RateLimit, ...]


Event = (
    SessionCreated
    | SpeechStarted
    | SpeechStopped
    | Committed
    | ItemAdded
    | ItemDone
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | AudioDelta
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | ArgumentsDelta
    | ArgumentsDone
    | RateLimitsUpdated
)
