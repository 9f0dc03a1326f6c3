"""Every event of the protocol with its fields: what the event classes are held against.

One line an event: its wire type, then its fields in any order, `?` after those that may be absent,
by the protocol or because servers leave them out all the same (the content index of a
transcription).  Left out are `type`, which every event has, and `event_id`, which clients may and
servers must give; the one exception says so.  A line that is indented further continues the one
before.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Final, NamedTuple


class Fields(NamedTuple):
    """The fields of one event."""

    required: frozenset[str]
    optional: frozenset[str]


def _read(table: str, event_id: str) -> Mapping[str, Fields]:
    manifest = {}
    for line in re.sub(r"\n +", " ", textwrap.dedent(table).strip()).splitlines():
        wire_type, *fields = line.split()
        if not any(field.startswith("event_id") for field in fields):
            fields.append(event_id)
        manifest[wire_type] = Fields(
            frozenset(field for field in fields if not field.endswith("?")),
            frozenset(field.removesuffix("?") for field in fields if field.endswith("?")),
        )
    return manifest


CLIENT: Final = _read(
    """
    session.update                      session
    input_audio_buffer.append           audio
    input_audio_buffer.commit
    input_audio_buffer.clear
    output_audio_buffer.clear
    conversation.item.create            item previous_item_id?
    conversation.item.retrieve          item_id
    conversation.item.truncate          item_id content_index audio_end_ms
    conversation.item.delete            item_id
    response.create                     response?
    response.cancel                     response_id?
    """,
    event_id="event_id?",
)
"""What clients send in voice sessions."""

# A pressed key comes without an event_id; the class reads one all the same, should the service ever
# send it.
SERVER: Final = _read(
    """
    error                                                   error
    session.created                                         session
    session.updated                                         session
    conversation.created                                    conversation
    conversation.item.created                               item previous_item_id?
    conversation.item.added                                 item previous_item_id?
    conversation.item.done                                  item previous_item_id?
    conversation.item.retrieved                             item
    conversation.item.truncated                             item_id content_index audio_end_ms
    conversation.item.deleted                               item_id
    conversation.item.input_audio_transcription.delta       item_id content_index? delta? logprobs?
                                                            obfuscation?
    conversation.item.input_audio_transcription.segment     item_id content_index id text speaker
                                                            start end
    conversation.item.input_audio_transcription.completed   item_id content_index? transcript usage
                                                            languages? logprobs?
    conversation.item.input_audio_transcription.failed      item_id content_index? error
    input_audio_buffer.committed                            item_id previous_item_id?
    input_audio_buffer.cleared
    input_audio_buffer.speech_started                       item_id audio_start_ms
    input_audio_buffer.speech_stopped                       item_id audio_end_ms
    input_audio_buffer.timeout_triggered                    item_id audio_start_ms audio_end_ms
    input_audio_buffer.dtmf_event_received                  event_id? event received_at
    output_audio_buffer.started                             response_id
    output_audio_buffer.stopped                             response_id
    output_audio_buffer.cleared                             response_id
    response.created                                        response
    response.done                                           response
    response.output_item.added                              response_id output_index item
    response.output_item.done                               response_id output_index item
    response.content_part.added                             response_id output_index item_id
                                                            content_index part
    response.content_part.done                              response_id output_index item_id
                                                            content_index part
    response.output_text.delta                              response_id output_index item_id
                                                            content_index delta obfuscation?
    response.output_text.done                               response_id output_index item_id
                                                            content_index text
    response.output_audio.delta                             response_id output_index item_id
                                                            content_index delta
    response.output_audio.done                              response_id output_index item_id
                                                            content_index
    response.output_audio_transcript.delta                  response_id output_index item_id
                                                            content_index delta obfuscation?
    response.output_audio_transcript.done                   response_id output_index item_id
                                                            content_index transcript
    response.function_call_arguments.delta                  response_id output_index item_id
                                                            call_id delta obfuscation?
    response.function_call_arguments.done                   response_id output_index item_id
                                                            call_id arguments name?
    response.mcp_call_arguments.delta                       response_id output_index item_id delta
                                                            obfuscation?
    response.mcp_call_arguments.done                        response_id output_index item_id
                                                            arguments
    response.mcp_call.in_progress                           output_index item_id
    response.mcp_call.completed                             output_index item_id
    response.mcp_call.failed                                output_index item_id
    mcp_list_tools.in_progress                              item_id
    mcp_list_tools.completed                                item_id
    mcp_list_tools.failed                                   item_id
    rate_limits.updated                                     rate_limits
    """,
    event_id="event_id",
)
"""What servers send in voice sessions."""

TRANSCRIPTION_CLIENT: Final = frozenset(
    {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.retrieve",
        "conversation.item.delete",
    }
)
"""What of it clients send in transcription sessions."""

TRANSCRIPTION_SERVER: Final = frozenset(
    {
        "error",
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "input_audio_buffer.cleared",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.retrieved",
        "conversation.item.deleted",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
    }
)
"""What of it servers send in transcription sessions."""

TRANSLATION_CLIENT: Final = _read(
    """
    session.update                      session
    session.input_audio_buffer.append   audio
    session.close
    """,
    event_id="event_id?",
)
"""What clients send in translation sessions."""

TRANSLATION_SERVER: Final = _read(
    """
    error                               error
    session.created                     session
    session.updated                     session
    session.closed
    session.input_transcript.delta      delta elapsed_ms?
    session.output_transcript.delta     delta elapsed_ms?
    session.output_audio.delta          delta sample_rate? channels? format? elapsed_ms?
    """,
    event_id="event_id",
)
"""What servers send in translation sessions."""
