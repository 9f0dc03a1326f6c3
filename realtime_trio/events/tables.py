"""Which events exist, by kind of session and direction: the codec's dispatch tables and the manifest's other half."""

from __future__ import annotations

from typing import Final

from realtime_trio.events import (
    audio_buffers,
    conversation,
    mcp,
    response,
    session,
    transcription,
    translation,
    usage,
)
from realtime_trio.events._base import ClientEvent, ServerEvent

CLIENT_EVENTS: Final[tuple[type[ClientEvent], ...]] = (
    session.SessionUpdate,
    conversation.ConversationItemCreate,
    conversation.ConversationItemDelete,
    conversation.ConversationItemRetrieve,
    conversation.ConversationItemTruncate,
    audio_buffers.InputAudioBufferAppend,
    audio_buffers.InputAudioBufferCommit,
    audio_buffers.InputAudioBufferClear,
    audio_buffers.OutputAudioBufferClear,
    response.ResponseCreate,
    response.ResponseCancel,
)
"""What a client may send in a voice or transcription session."""

SERVER_EVENTS: Final[tuple[type[ServerEvent], ...]] = (
    session.SessionCreated,
    session.SessionUpdated,
    session.ErrorEvent,
    conversation.ConversationCreated,
    conversation.ConversationItemCreated,
    conversation.ConversationItemAdded,
    conversation.ConversationItemDone,
    conversation.ConversationItemDeleted,
    conversation.ConversationItemRetrieved,
    conversation.ConversationItemTruncated,
    transcription.ConversationItemInputAudioTranscriptionDelta,
    transcription.ConversationItemInputAudioTranscriptionSegment,
    transcription.ConversationItemInputAudioTranscriptionCompleted,
    transcription.ConversationItemInputAudioTranscriptionFailed,
    audio_buffers.InputAudioBufferCommitted,
    audio_buffers.InputAudioBufferCleared,
    audio_buffers.InputAudioBufferSpeechStarted,
    audio_buffers.InputAudioBufferSpeechStopped,
    audio_buffers.InputAudioBufferTimeoutTriggered,
    audio_buffers.InputAudioBufferDtmfEventReceived,
    audio_buffers.OutputAudioBufferStarted,
    audio_buffers.OutputAudioBufferStopped,
    audio_buffers.OutputAudioBufferCleared,
    response.ResponseCreated,
    response.ResponseDone,
    response.ResponseOutputItemAdded,
    response.ResponseOutputItemDone,
    response.ResponseContentPartAdded,
    response.ResponseContentPartDone,
    response.ResponseOutputTextDelta,
    response.ResponseOutputTextDone,
    response.ResponseOutputAudioDelta,
    response.ResponseOutputAudioDone,
    response.ResponseOutputAudioTranscriptDelta,
    response.ResponseOutputAudioTranscriptDone,
    response.ResponseFunctionCallArgumentsDelta,
    response.ResponseFunctionCallArgumentsDone,
    mcp.McpListToolsInProgress,
    mcp.McpListToolsCompleted,
    mcp.McpListToolsFailed,
    mcp.ResponseMcpCallArgumentsDelta,
    mcp.ResponseMcpCallArgumentsDone,
    mcp.ResponseMcpCallInProgress,
    mcp.ResponseMcpCallCompleted,
    mcp.ResponseMcpCallFailed,
    usage.RateLimitsUpdated,
)
"""What the server may send in a voice or transcription session."""

TRANSLATION_CLIENT_EVENTS: Final[tuple[type[ClientEvent], ...]] = (
    translation.TranslationSessionUpdate,
    translation.TranslationSessionInputAudioBufferAppend,
    translation.TranslationSessionClose,
)
"""What a client may send in a translation session."""

TRANSLATION_SERVER_EVENTS: Final[tuple[type[ServerEvent], ...]] = (
    translation.TranslationSessionCreated,
    translation.TranslationSessionUpdated,
    translation.TranslationSessionClosed,
    translation.TranslationSessionInputTranscriptDelta,
    translation.TranslationSessionOutputTranscriptDelta,
    translation.TranslationSessionOutputAudioDelta,
    session.ErrorEvent,
)
"""What the server may send in a translation session."""
