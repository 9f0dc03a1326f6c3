"""What a message is: nothing that a guest writes is read as two things."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio._protocol.codec import Codec
from realtime_trio.connection import SessionKind
from realtime_trio.events import InputAudioBufferAppend, TranslationSessionInputAudioBufferAppend
from realtime_trio.relay.reading import (
    UnreadableError,
    audio_of_append,
    read_from_guest,
    read_from_service,
    type_from_service,
)

AUDIO = base64.b64encode(bytes(range(48))).decode()


@pytest.mark.parametrize(
    "text",
    [
        Codec().encode(InputAudioBufferAppend(audio=bytes(range(48)))),
        Codec().encode(InputAudioBufferAppend(audio=bytes(range(48)), event_id="evt_1-x.y")),
        Codec(kind=SessionKind.TRANSLATION).encode(
            TranslationSessionInputAudioBufferAppend(audio=bytes(range(48)))
        ),
        json.dumps({"type": "input_audio_buffer.append", "audio": AUDIO}),
        json.dumps({"event_id": None, "type": "input_audio_buffer.append", "audio": AUDIO}),
        '{"type":"input_audio_buffer.append","audio":"' + AUDIO + '" }',
    ],
)
def test_an_append_as_clients_write_it_is_known_by_its_shape(text: str) -> None:
    assert audio_of_append(text) == len(AUDIO)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"type":"input_audio_buffer.append"}',
        '{"type":"input_audio_buffer.append","audio":"AAAA"',
        '{"type":"input_audio_buffer.append","audio":"AAAA',
        '{"type":"input_audio_buffer.append","audio":"AAAA","type":"session.update"}',
        '{"type":"input_audio_buffer.append","audio":"AAAA","session":{}}',
        '{"type":"input_audio_buffer.append","audio":"AA\\u0041A"}',
        '{"type":"input_audio_buffer.append","audio":"AAAA\\"}',
        '{"type":"input_audio_buffer.append","audio":"AAAA"}}',
        '{"type":"input_audio_buffer.append","audio":"AAAA"} {"type":"session.update"}',
        '{"type":"input_audio_buffer.commit","audio":"AAAA"}',
        ' {"type":"input_audio_buffer.append","audio":"AAAA"}',
        '{"type":"session.update","type":"input_audio_buffer.append","audio":"AAAA"}',
    ],
)
def test_whatever_could_be_something_else_is_not(text: str) -> None:
    assert audio_of_append(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.text(), json_values, st.text(max_size=4), st.text(max_size=4))
def test_what_passes_by_its_shape_is_an_append_to_every_parser(
    audio: str, more: Any, before: str, after: str
) -> None:
    """Whatever is put in and around: if it passes, it is the object that it seems to be."""
    head = '{"type":"input_audio_buffer.append","audio":"'
    for text in (
        f'{head}{audio}"}}',
        f'{before}{head}{audio}"{after}}}',
        f'{head}AAAA","x":{json.dumps(more)}}}',
    ):
        if audio_of_append(text) is not None:
            # As pairs, so that a name which stands twice is seen; strings may be anything.
            pairs = json.loads(text, strict=False, object_pairs_hook=list)
            assert [name for name, _ in pairs] == ["type", "audio"]
            assert pairs[0][1] == "input_audio_buffer.append"
            assert len(pairs[1][1]) == audio_of_append(text)


@given(st.dictionaries(st.sampled_from(["a", "b", "type_", "x y", "\n", "\u00e9"]), json_values))
def test_an_object_is_read_as_it_was_written(inside: dict[str, Any]) -> None:
    payload = {"type": "x", "inside": inside}
    assert read_from_guest(json.dumps(payload)) == payload


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("nonsense", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not an object"),
        ('"type"', "not an object"),
        ("{}", "no type"),
        ('{"type":1}', "no type"),
        ('{"Type":"session.update"}', "no type"),
        ('{"type":"a","type":"b"}', "twice"),
        ('{"type":"a","Type":"b"}', "twice"),
        ('{"type":"a","typ\\u0065":"b"}', "twice"),
        ('{"type":"a","x":{"y":1,"y":2}}', "twice"),
        ('{"type":"a","x":NaN}', "NaN is not JSON"),
        ('{"type":"a","x":-Infinity}', "Infinity is not JSON"),
        ('{"type":"a"} {"type":"b"}', "not JSON"),
        ('\ufeff{"type":"a"}', "not JSON"),
    ],
)
def test_what_parsers_might_disagree_about_is_refused(text: str, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        read_from_guest(text)


@given(st.text())
def test_no_text_of_a_guest_makes_it_fail(text: str) -> None:
    audio_of_append(text)
    with suppress(UnreadableError):
        assert isinstance(read_from_guest(text)["type"], str)


@pytest.mark.parametrize(
    ("text", "wire_type"),
    [
        ('{"type":"response.output_audio.delta","event_id":"e"}', "response.output_audio.delta"),
        ('{ "type": "x" }', "x"),
        ('{"event_id":"e","type":"x"}', "x"),
        ('{"event_id": "e", "type": "x"}', "x"),
        ('{"item":{},"type":"x"}', None),
        ('{"event_id":"\\"","type":"x"}', None),
        ("nonsense", None),
    ],
)
def test_the_type_of_a_servers_message_is_found_where_servers_write_it(
    text: str, wire_type: str | None
) -> None:
    assert type_from_service(text) == wire_type


@pytest.mark.parametrize(
    ("text", "payload"), [('{"a":1}', {"a": 1}), ("[]", None), ("nonsense", None)]
)
def test_what_is_no_object_is_nothing_that_a_server_says(text: str, payload: object) -> None:
    assert read_from_service(text) == payload
