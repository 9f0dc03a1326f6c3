"""What may stand in a header that a user chose."""

from __future__ import annotations

import pytest

from realtime_trio._transport.headers import encode_headers
from realtime_trio.errors import LocalProtocolError


def test_headers_are_encoded_in_their_order() -> None:
    headers = [("X-Trace", "a b\tc"), ("x_1", ""), ("Authorization", "Bearer \xe4")]
    assert encode_headers(headers) == [
        (b"X-Trace", b"a b\tc"),
        (b"x_1", b""),
        (b"Authorization", b"Bearer \xe4"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "a:",
        "gr\xf6\xdfe",
        "a\n",
        "host",
        "Upgrade",
        "CONNECTION",
        "Content-Length",
        "transfer-encoding",
        "Sec-WebSocket-Key",
    ],
)
def test_a_name_that_is_none_or_ours_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="a header has a name that is not allowed here"):
        encode_headers([("X-Trace", "1"), (name, "s3cret")])


@pytest.mark.parametrize("name", ["hosts", "X-Host", "Sec-WebSockets"])
def test_a_name_that_resembles_ours_is_not_ours(name: str) -> None:
    assert encode_headers([(name, "1")]) == [(name.encode(), b"1")]


@pytest.mark.parametrize("value", ["s3cret\n", "s3\r\nHost: x", " s3", "s3\t", "s3\0", "s3\u20ac"])
def test_a_value_that_could_be_more_than_one_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="the value of header 'X-Key' has") as caught:
        encode_headers([("X-Key", value)])
    assert "s3" not in str(caught.value)
