"""Long audio is kept away from the JSON parser, and nobody can tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from coding import (
    AUDIO_TEXT,
    audio_delta,
    decode,
    ends,
)
from hypothesis import example, given, strategies as st
from strategies import AUDIO

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import (
    RemoteProtocolError,
)
from realtime_trio.events import (
    Event,
    InputAudioBufferAppend,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    UnknownEvent,
)


def reference(text: str) -> Event:
    """Decode a message as the standard library writes it, so that the cut does not apply."""
    return Codec().decode(json.dumps(json.loads(text), separators=(",", " : ")))


@st.composite
def audio_messages(draw: st.DrawFn) -> str:
    """JSON text of audio deltas, and of what could be mistaken for one."""
    ensure_ascii = draw(st.booleans())

    def dumped(value: str) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii)

    long_text = st.sampled_from(
        [
            AUDIO_TEXT,
            AUDIO_TEXT[:-1] + "=",
            "/+" * 400,
            AUDIO_TEXT + "é",
            'say "delta": ' * 60,
            "A" * 511,
            "A" * 512,
        ]
    )
    value = (
        long_text.map(dumped)
        | long_text.map(lambda t: dumped(t).replace("/", "\\/").replace("Q", "\\u0051"))
        | st.sampled_from(
            [
                '"AAAA"',
                '""',
                "5",
                "null",
                "true",
                "[]",
                f'["{AUDIO_TEXT}"]',
                f'{{"delta":"{AUDIO_TEXT}"}}',
            ]
        )
    )
    kinds = [
        "response.output_audio.delta",
        "response.output_text.delta",
        "session.output_audio.delta",
        "response.done",
        "x.audio.delta",
    ]
    members = [
        ('"type"', json.dumps(draw(st.sampled_from(kinds)))),
        ('"event_id"', dumped(draw(st.sampled_from(["e", "é", 'a"delta":"b', "x" * 600])))),
        ('"response_id"', '"r"'),
        ('"item_id"', dumped(draw(st.sampled_from(["i", "日本"])))),
        ('"output_index"', draw(st.sampled_from(["0", "null"]))),
        ('"content_index"', "1"),
    ]
    members.insert(draw(st.integers(0, len(members))), ('"delta"', draw(value)))
    extra = ["extra", AUDIO_TEXT, "adelta", "delta_"]
    for key in draw(st.lists(st.sampled_from(extra), max_size=2, unique=True)):
        members.insert(draw(st.integers(0, len(members))), (json.dumps(key), draw(value)))
    if draw(st.integers(0, 9)) == 0:
        members = [member for member in members if member[0] != '"delta"']
    colon, comma = (
        draw(st.sampled_from([":", ": ", " :", ":\n\t "])),
        draw(st.sampled_from([",", ", ", "\n,"])),
    )
    text = "{" + comma.join(key + colon + v for key, v in members) + "}"
    return draw(st.sampled_from([text, text, text, f"[{text}]", f" {text}\n"]))


@given(audio_messages())
def test_cutting_out_audio_makes_no_difference(text: str) -> None:
    expected = reference(text)
    for event in (Codec().decode(text), Codec().decode(text.encode())):
        assert event == expected
        assert type(event) is type(expected)


@given(audio_messages(), st.data())
def test_a_truncated_message_is_not_json(text: str, data: st.DataObject) -> None:
    text = text.strip()
    event = Codec().decode(text[: data.draw(st.integers(0, len(text) - 1))])
    assert isinstance(event, UnknownEvent)
    assert event.problem is not None
    assert event.problem.startswith("not JSON: ")


MESSAGE = json.dumps(audio_delta(delta=AUDIO_TEXT), separators=(",", ":"))


@pytest.mark.parametrize(
    "text",
    [
        MESSAGE,
        MESSAGE.replace(":", ": "),
        MESSAGE.replace(":", " : "),
        MESSAGE.replace("QUJD", "\\u0051UJD"),
        MESSAGE.replace("QUJD", "QUJ\\/"),
        MESSAGE.replace('"i"', '"日本"'),
        '{"delta":"' + AUDIO_TEXT + '",' + MESSAGE.replace(f',"delta":"{AUDIO_TEXT}"', "")[1:],
    ],
    ids=["compact", "spaced", "wide", "escape", "slash", "non-ASCII", "delta first"],
)
def test_audio_arrives_however_it_is_written(text: str) -> None:
    expected = AudioData.from_base64(json.loads(text)["delta"])
    for event in (Codec(strict=True).decode(text), Codec(strict=True).decode(text.encode())):
        assert isinstance(event, ResponseOutputAudioDelta)
        assert event.delta == expected
        assert event.delta.base64 == expected.base64


def test_a_long_text_delta_is_not_audio() -> None:
    text = "ten chars " * 200
    payload = {**audio_delta(delta=text), "type": "response.output_text.delta"}
    expected = ResponseOutputTextDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=text
    )
    assert Codec().decode(json.dumps(payload, separators=(",", ":"))) == expected
    assert decode({"type": "zzz", "event_id": "e", "text": text}) == UnknownEvent(
        type="zzz", event_id="e", raw={"type": "zzz", "event_id": "e", "text": text}
    )


def test_the_last_key_may_have_no_text_after_it() -> None:
    text = '{"padding":"' + "x" * 2000 + '","type":"response.done","delta":5}'
    assert Codec().decode(text) == reference(text)


@pytest.mark.parametrize(
    "text",
    [
        MESSAGE.replace(
            f'"delta":"{AUDIO_TEXT}"', f'"extra":{{"delta":"{AUDIO_TEXT}"}},"delta":""'
        ),
        MESSAGE.replace(
            f'"delta":"{AUDIO_TEXT}"', f'"delta" :"","extra":{{"delta":"{AUDIO_TEXT}"}}'
        ),
        MESSAGE.replace(
            f'"delta":"{AUDIO_TEXT}"', f'"d\\u0065lta":"","extra":{{"delta":"{AUDIO_TEXT}"}}'
        ),
        MESSAGE.replace(f'"delta":"{AUDIO_TEXT}"', f'"delta":"{AUDIO_TEXT}","delta":""'),
    ],
    ids=["after", "before", "escaped", "twice"],
)
def test_an_empty_delta_is_not_filled_with_another_one(text: str) -> None:
    assert Codec().decode(text) == reference(text)


def test_a_line_break_in_audio_is_found_when_it_is_used() -> None:
    # JSON allows no control characters in strings.  Looking for them would cost as much as the cut
    # saves.
    event = Codec().decode(MESSAGE.replace(AUDIO_TEXT, AUDIO_TEXT + "\n"))
    assert isinstance(event, ResponseOutputAudioDelta)
    with pytest.raises(RemoteProtocolError):
        _ = event.delta.data


@given(AUDIO)
@example(AudioData(bytes(3000)))
def test_audio_survives_the_way_there_and_back(audio: AudioData) -> None:
    sending, receiving = ends(Role.SERVER)
    event = ResponseOutputAudioDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=audio
    )
    received = receiving.decode(sending.encode(event))
    assert isinstance(received, ResponseOutputAudioDelta)
    assert received.delta.data == audio.data
    sending, receiving = ends(Role.CLIENT)
    appended = InputAudioBufferAppend(audio=audio)
    assert receiving.decode(sending.encode(appended)) == appended


def test_plain_values_and_numbers_of_numpy_are_written_without_spaces() -> None:
    value = {"a": [1, 2.5, None, True, "ä"], "n": np.float32(0.5), "v": np.arange(2)}
    assert write_json(value) == '{"a":[1,2.5,null,true,"ä"],"n":0.5,"v":[0,1]}'


@pytest.mark.parametrize("value", [{1: "a"}, object(), "\ud800", 2**70])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        write_json(value)


@pytest.mark.parametrize("text", ["", "{", "NaN", b"\xff"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
        parse_json(text)
