"""How a conversation is written down, and what is read of it."""

from __future__ import annotations

import pytest
from conversation_events import (
    added,
    answering,
    call,
    committed,
    created,
    done,
    output_added,
    output_done,
    sound,
    speech,
    tell,
    truncated,
    words,
)
from histories import stored, talk

from realtime_trio._state.conversation.audio import Encoding
from realtime_trio._state.conversation.history import (
    Entry,
    Said,
    Spoken,
    entries_of,
    read_history,
)
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputImage,
    InputText,
    McpApprovalRequest,
    OutputAudio,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

IMAGE = "data:image/png;base64,AA=="


def test_a_conversation_is_exported_as_the_protocol_writes_it() -> None:
    conversation = talk(
        SystemMessage.text("be nice", id="item_0"),
        UserMessage(
            id="item_1",
            content=[InputText("look"), InputImage(IMAGE, "low"), InputAudio(None, "here")],
        ),
        AssistantMessage(
            id="item_2", status="completed", content=[OutputText("yes"), OutputAudio(None, "I see")]
        ),
        FunctionCall(id="item_3", status="completed", name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
    )
    assert conversation.export() == [
        {
            "id": "item_0",
            "type": "message",
            "status": "completed",
            "role": "system",
            "content": [{"type": "input_text", "text": "be nice"}],
        },
        {
            "id": "item_1",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                {"type": "input_audio", "transcript": "here"},
            ],
        },
        {
            "id": "item_2",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "yes"},
                {"type": "output_audio", "transcript": "I see"},
            ],
        },
        {
            "id": "item_3",
            "type": "function_call",
            "status": "completed",
            "name": "f",
            "call_id": "call_1",
            "arguments": "{}",
        },
        {"id": "item_4", "type": "function_call_output", "call_id": "call_1", "output": "1"},
    ]


def test_what_only_the_service_makes_is_exported_too() -> None:
    conversation = talk(
        McpApprovalRequest(id="item_1", server_label="s", name="f", arguments="{}"),
        UnknownObject("hologram", {"type": "hologram", "id": "item_2", "depth": 3}),
    )
    assert conversation.export() == [
        {
            "type": "mcp_approval_request",
            "id": "item_1",
            "server_label": "s",
            "name": "f",
            "arguments": "{}",
        },
        {"type": "hologram", "id": "item_2", "depth": 3},
    ]
    problem = "only the service makes items of this type"
    assert [entry.problem for entry in read_history(conversation.export())] == [problem] * 2


def test_an_unknown_part_is_exported_as_it_came() -> None:
    smell = UnknownObject("smell", {"type": "smell", "note": "smoke"})
    conversation = talk(UserMessage(id="item_1", content=[smell]))
    assert conversation.export()[0]["content"] == [{"type": "smell", "note": "smoke"}]
    assert entries_of(conversation.items) == (
        Entry(item_id="item_1", told=Said(role="user", pieces=(), is_partial=True)),
    )


def test_what_was_truncated_is_exported_as_it_was_heard() -> None:
    conversation = answering()
    tell(conversation, words("one two"), speech(sound(1000)), truncated(600))
    (exported,) = conversation.export()
    assert exported["content"] == [
        {"type": "output_audio", "transcript": "one", "heard_ms": 600, "is_estimate": True}
    ]
    assert read_history(stored(conversation)) == (
        Entry(
            item_id="item_1",
            told=Said(
                role="assistant",
                pieces=(Spoken(words="one", heard_ms=600, is_estimate=True),),
                is_cut_short=True,
            ),
        ),
    )


def test_the_users_audio_is_exported_if_it_is_wanted() -> None:
    conversation = Conversation()
    audio = AudioData(sound(10))
    conversation.sent(InputAudioBufferAppend(audio=audio))
    tell(conversation, committed(), done(UserMessage(id="item_1", content=[InputAudio()])))
    assert conversation.export()[0]["content"] == [{"type": "input_audio", "transcript": None}]
    (exported,) = conversation.export(audio=True)
    assert exported["content"] == [
        {
            "type": "input_audio",
            "transcript": None,
            "audio": audio.base64,
            "format": {"type": "audio/pcm", "rate": 24000},
        }
    ]
    spoken = Spoken(words=None, audio=audio, encoding=Encoding())
    entry = Entry(item_id="item_1", told=Said(role="user", pieces=(spoken,)))
    assert read_history(stored(conversation, audio=True)) == (entry,)
    assert entries_of(conversation.items) == (entry,)


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        (7, Entry(item_id=None, problem="it is not an item")),
        (
            {"type": "function_call", "id": "item_1", "call_id": "call_1", "name": "f"},
            Entry(
                item_id="item_1",
                told=FunctionCall(id="item_1", call_id="call_1", name="f", arguments=""),
            ),
        ),
        (
            {"type": "function_call_output", "call_id": "call_1", "output": 7},
            Entry(item_id=None, told=FunctionCallOutput(call_id="call_1", output="")),
        ),
        (
            {"type": "function_call", "id": "", "call_id": "call_1"},
            Entry(item_id=None, problem="it has no call_id or no name"),
        ),
        (
            {"type": "function_call_output"},
            Entry(item_id=None, problem="it has no call_id or no name"),
        ),
        ({"type": "message", "content": 7}, Entry(item_id=None, told=Said(role=None, pieces=()))),
        (
            {"type": "message", "role": "user", "status": "incomplete", "content": (7, {})},
            Entry(
                item_id=None,
                told=Said(role="user", pieces=(), is_partial=True, is_cut_short=True),
            ),
        ),
    ],
)
def test_entries_are_read_as_far_as_they_make_sense(entry: object, read: Entry) -> None:
    assert read_history([entry]) == (read,)


PCM: dict[str, object] = {"type": "audio/pcm", "rate": 24000}


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "input_text", "text": " "}, None),
        ({"type": "output_text"}, None),
        ({"type": "audio", "transcript": "a"}, Spoken(words="a")),
        ({"type": "input_audio", "transcript": " "}, None),
        ({"type": "output_audio", "transcript": "", "heard_ms": 0}, Spoken(words=None, heard_ms=0)),
        ({"type": "output_audio", "transcript": "a", "heard_ms": -1}, Spoken(words="a")),
        ({"type": "output_audio", "transcript": "a", "heard_ms": "7"}, Spoken(words="a")),
        (
            {"type": "output_audio", "transcript": "a", "heard_ms": 7, "is_estimate": True},
            Spoken(words="a", heard_ms=7, is_estimate=True),
        ),
        (
            {"type": "input_audio", "audio": "AAAA", "format": PCM},
            Spoken(words=None, audio=AudioData(bytes(3)), encoding=Encoding()),
        ),
        ({"type": "input_audio", "audio": ""}, None),
        (
            {"type": "input_audio", "audio": "AAAA", "format": {"type": 7}},
            Spoken(words=None, audio=AudioData(bytes(3))),
        ),
        ({"type": "input_image", "image_url": IMAGE, "detail": 7}, InputImage(IMAGE)),
        ({"type": "input_image"}, None),
        ({"type": "smell"}, None),
        ("text", None),
    ],
)
def test_parts_are_read_as_far_as_they_make_sense(part: object, read: object) -> None:
    (entry,) = read_history([{"type": "message", "role": "user", "content": [part]}])
    assert isinstance(entry.told, Said)
    assert entry.told.pieces == (() if read is None else (read,))
    assert entry.told.is_partial == (read is None)


@pytest.mark.parametrize("history", ["text", b"bytes", {"type": "message"}, 7])
def test_what_is_no_list_of_entries_is_no_history(history: object) -> None:
    with pytest.raises(TypeError, match="history must be a list of entries, not"):
        read_history(history)  # type: ignore[arg-type]


def test_a_call_says_which_response_has_made_it() -> None:
    conversation = Conversation()
    made = call("item_1", "{}", status="completed")
    tell(conversation, created("resp_7"), output_added(made, "resp_7"), added(made))
    tell(conversation, output_done(made, "resp_7"))
    (entry,) = conversation.export()
    assert entry["response_id"] == "resp_7"
    assert [each.response_id for each in read_history([entry])] == ["resp_7"]
