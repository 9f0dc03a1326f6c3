"""Scrubbing: what is left out of a message, and that everything else stays as it was."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio._protocol.scrubbing import scrub, without_keys

KEY = "sk-proj-0123456789abcdef"


def without_secrets(text: str, wire_type: str = "") -> str:
    return scrub(text, wire_type, secrets=True, audio=False)


def without_audio(text: str, wire_type: str = "") -> str:
    return scrub(text, wire_type, secrets=False, audio=True)


@pytest.mark.parametrize(
    ("secret", "clean"),
    [
        ('{"authorization":"abc"}', '{"authorization":"<secret>"}'),
        ('{"Authorization" : "Basic abc"}', '{"Authorization" : "<secret>"}'),
        ('{"x-api-key":"abc"}', '{"x-api-key":"<secret>"}'),
        ('{"apiKey":"abc"}', '{"apiKey":"<secret>"}'),
        ('{"client_secret":"abc"}', '{"client_secret":"<secret>"}'),
        (
            '{"client_secret":{"value":"abc","expires_at":1756310470,"is_new":true}}',
            '{"client_secret":{"value":"<secret>","expires_at":"<secret>","is_new":true}}',
        ),
        (
            '{"password":["abc",{"a":"b"}],"c":1}',
            '{"password":["<secret>",{"a":"<secret>"}],"c":1}',
        ),
        ('{"password":1234}', '{"password":"<secret>"}'),
        ('{"p\\u0061ssword":"abc"}', '{"p\\u0061ssword":"<secret>"}'),
        ('{"headers":{"X-Key":"abc"},"a":"b"}', '{"headers":{"X-Key":"<secret>"},"a":"b"}'),
        (
            '{"x":{"Headers":[["X-Key","abc"],{"v":1}]},"a":["b"]}',
            '{"x":{"Headers":[["<secret>","<secret>"],{"v":"<secret>"}]},"a":["b"]}',
        ),
        (
            '{"server_url":"https://me:word@example.com/mcp?key=abc"}',
            '{"server_url":"https://<secret>example.com/mcp<secret>"}',
        ),
        (
            r'{"server_url":"https:\/\/me:word@example.com\/mcp"}',
            '{"server_url":"https://<secret>example.com/mcp"}',
        ),
        ('{"output":"postgres://me:word@db/x?a=b"}', '{"output":"postgres://<secret>db/x?a=b"}'),
        (f'{{"text":"it is {KEY}!"}}', '{"text":"it is <secret>!"}'),
        (r'{"text":"it is sk\u002dproj-0123456789"}', '{"text":"it is <secret>"}'),
        ('{"text":"ek_0123456789"}', '{"text":"<secret>"}'),
        ('{"text":"Bearer abc.def=="}', '{"text":"<secret>"}'),
        # Cut off, in the middle of a key or of an escape.
        ('{"headers":{"X-Key":"ab', '{"headers":{"X-Key":"<secret>"'),
        ('{"headers":{"X-Key":"ab\\', '{"headers":{"X-Key":"<secret>"'),
        (f'{{"text":"{KEY}', '{"text":"<secret>"'),
        # Not JSON for other reasons.
        ('}]{"password":"abc"', '}]{"password":"<secret>"'),
        (r'{"password":"\x"}', '{"password":"<secret>"}'),
    ],
)
def test_a_secret_is_replaced_and_nothing_else(secret: str, clean: str) -> None:
    assert without_secrets(secret) == clean
    assert without_secrets(f'{{"a" : [1.0, {{}}],\n"b":{secret}') == (
        f'{{"a" : [1.0, {{}}],\n"b":{clean}'
    )
    assert scrub(secret, "", secrets=False, audio=True) == secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"a":1.0, "a":1e400, "c":[ ], "d":"\\u00e9\\ud83d\\ude00"}',
        '{"authorization":null,"password":"","headers":null}',
        '{"parameters":{"properties":{"password":{"type":"string"},"headers":{"type":"object"}},'
        '"required":["password"]}}',
        '{"text":"the risk-adjusted desk_lamp of the bearer, at http://example.com/?a=b"}',
        '{"server_url":"https://example.com/mcp"}',
        '{"password',
    ],
)
def test_what_is_not_secret_stays_as_it_was(text: str) -> None:
    assert without_secrets(text) == text


def test_in_the_properties_of_a_schema_only_values_are_secret() -> None:
    text = '{"properties":{"password":"abc","x":{"default":{"headers":{"a":"b"}}}}}'
    assert json.loads(without_secrets(text)) == {
        "properties": {
            "password": "<secret>",
            "x": {"default": {"headers": {"a": "<secret>"}}},
        }
    }


@pytest.mark.parametrize("depth", [300, 1000, 100_000])
def test_nothing_is_nested_too_deep(depth: int) -> None:
    opened, closed = '{"a":[' * depth, "]}" * depth
    text = f'{opened}{{"password":"abc"}}{closed}'
    assert without_secrets(text) == f'{opened}{{"password":"<secret>"}}{closed}'


@pytest.mark.parametrize(
    ("text", "wire_type", "clean"),
    [
        ('{"audio":"YWJj"}', "input_audio_buffer.append", '{"audio":"<3 bytes of audio>"}'),
        (
            '{"content":[{"audio":"YWJj","transcript":"abc"}]}',
            "conversation.item.create",
            '{"content":[{"audio":"<3 bytes of audio>","transcript":"abc"}]}',
        ),
        ('{"delta":"YWI="}', "response.output_audio.delta", '{"delta":"<2 bytes of audio>"}'),
        (
            '{"type":"response.sung_audio.delta","delta":"YWI=',
            "",
            '{"type":"response.sung_audio.delta","delta":"<2 bytes of audio>"',
        ),
        (r'{"audio":"ab\/c"}', "", '{"audio":"<3 bytes of audio>"}'),
    ],
)
def test_audio_is_replaced_by_its_size(text: str, wire_type: str, clean: str) -> None:
    assert without_audio(text, wire_type) == clean
    assert without_secrets(text, wire_type) == text


def test_what_is_not_audio_stays_as_it_was() -> None:
    text = f'{{"delta":"abcd","audio":{{"output":{{"speed":1}}}},"password":"{KEY}","audio":5}}'
    assert without_audio(text, "response.output_audio_transcript.delta") == text


def test_keys_are_found_outside_of_strings_too() -> None:
    assert without_keys(f"no: {KEY}, http://me:word@x") == "no: <secret>, http://<secret>x"
    assert without_keys("no key") == "no key"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_is_left_alone(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert scrub(text, "", secrets=True, audio=True) == text


@given(JSON, st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.booleans())
def test_a_secret_is_found_wherever_it_stands(value: Any, secret: str, ascii_only: bool) -> None:
    text = json.dumps(
        {"a": value, "b": [value, {"c": value, "password": secret, "d": value}]},
        ensure_ascii=ascii_only,
    )
    assert json.loads(without_secrets(text)) == {
        "a": value,
        "b": [value, {"c": value, "password": "<secret>", "d": value}],
    }


@given(st.text(st.sampled_from('{}[]",:\\ab1u"'), max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    scrubbed = scrub(text, "", secrets=True, audio=True)
    assert re.sub(r'[\\"]', "", scrubbed) == re.sub(r'[\\"]', "", text)


def test_who_wants_nothing_left_out_gets_everything() -> None:
    text = '{"type":"x","api_key":"sk-0123456789","delta":"AAAA"}'
    assert scrub(text, "response.output_audio.delta", secrets=False, audio=False) == text
