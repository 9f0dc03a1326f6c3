"""What is read in the body of an HTTP answer that refuses something."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._protocol.http_refusal import HttpRefusal


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "No.", "code": "model_not_found"}}', "No.", "model_not_found"),
        (b'{"error": {"message": "No.", "type": "x", "param": null}}', "No.", None),
        (b'{"error": {"message": null, "code": "gone"}}', "", "gone"),
        (b'{"error": {"message": ["No."], "code": 404}}', "", None),
        (b'{"error": {}}', "", None),
        (b'{"error": "No."}', "No.", None),
        (b'{"error": null}', "", None),
        (b'{"message": "No."}', "", None),
        (b'["No."]', "", None),
        (b"No.", "", None),
        (b"", "", None),
    ],
)
def test_the_words_of_a_refusal(body: bytes, message: str, code: str | None) -> None:
    assert HttpRefusal.of(body) == HttpRefusal(message, code)


@given(st.binary())
def test_no_body_is_too_odd(body: bytes) -> None:
    HttpRefusal.of(body)
