"""Which request gets what, and who may ask at all."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio
from console_visits import get, opened, serving, setup

from realtime_trio import ConnectionFailed, LocalProtocolError
from realtime_trio.connection import SessionKind
from realtime_trio.console.access import POLICY, Token
from realtime_trio.console.live import LiveSource
from realtime_trio.console.page_files import page_files
from realtime_trio.console.recorded import RecordedSource
from realtime_trio.console.serving import Address, Announced, serve_console
from realtime_trio.recording import Recording

pytestmark = pytest.mark.socket

SOURCE = RecordedSource(Recording(kind=SessionKind.REALTIME, records=()), "nothing.jsonl")
EVIL = "http://evil.example"


async def test_the_page_and_its_files_are_there_for_everybody() -> None:
    async with serving(SOURCE) as address:
        status, headers, body = await get(address.base, "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body == page_files()["index.html"].data
        for path, file in page_files().items():
            status, headers, body = await get(address.base, f"/page/{path}")
            assert (status, headers["content-type"], body) == (200, file.content_type, file.data)


async def test_every_answer_has_the_policy_and_is_not_stored() -> None:
    async with serving(SOURCE) as address:
        for path in ("/", "/page/main.js", "/page/no.js", "/setup.json", "/favicon.ico", "/x"):
            _, headers, _ = await get(address.base, path)
            assert headers["content-security-policy"] == POLICY
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-frame-options"] == "DENY"
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/../serving.py",
        "/page/%2e%2e/serving.py",
        "/page//etc/passwd",
        "/page/index.html/",
        "/index.html",
        "/pages/main.js",
        "/v1/models",
    ],
)
async def test_there_is_nothing_else(path: str) -> None:
    async with serving(SOURCE) as address:
        status, _, body = await get(address.base, path)
        # A slash at the end is no difference; and the page has its own name as well.
        assert status == (200 if path == "/page/index.html/" else 404)
        assert b"import " not in body or status == 200


async def test_only_get_is_allowed() -> None:
    async with serving(SOURCE) as address:
        status, headers, _ = await get(address.base, "/", method="POST")
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        status, headers, body = await get(address.base, "/", method="HEAD")
        assert (status, body) == (200, b"")


@pytest.mark.parametrize("token", [None, "x", "A" * 43])
async def test_the_setup_needs_the_token(token: str | None) -> None:
    async with serving(SOURCE) as address:
        status, headers, body = await get(address.base, "/setup.json", token=token)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert "token" in json.loads(body)["error"]["message"]
        assert address.token.text.encode() not in body
        assert (await setup(address))["title"] == "nothing.jsonl"


@pytest.mark.parametrize("path", ["/inspect?console=x", "/v1/realtime?model=x&console=x"])
async def test_the_sockets_need_the_token(path: str) -> None:
    async def nobody(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise AssertionError("nobody was let in")

    async with serving(LiveSource(nobody, models=("x",), is_simulated=True)) as address:
        with pytest.raises(ConnectionFailed) as failure:
            async with opened(address, path, token="wrong"):
                pass
        assert failure.value.status == 401


async def test_there_are_no_other_sockets() -> None:
    async with serving(SOURCE) as address:
        # Where a page is not a client, there is no service either.
        for path in ("/", "/v1/realtime", "/v1/realtime?console=x", "/inspect/x"):
            with pytest.raises(ConnectionFailed) as failure:
                async with opened(address, path):
                    pass
            assert failure.value.status == 404


async def test_another_page_or_another_name_is_refused_whatever_it_knows() -> None:
    async with serving(SOURCE) as address:
        token = address.token.text
        for path in ("/", "/setup.json"):
            status, _, body = await get(address.base, path, token=token, origin=EVIL)
            assert status == 403
            assert "not let in" in json.loads(body)["error"]["message"]
        # DNS rebinding: the browser takes this server for that of the page.
        port = address.base.rpartition(":")[2]
        rebound = f"evil.example:{port}"
        for path in ("/", "/page/main.js", "/setup.json", "/inspect"):
            status, _, _ = await get(
                address.base, path, token=token, host=rebound, origin=f"http://{rebound}"
            )
            assert status == 403
        other = attrs.evolve(address, base=f"http://localhost:{port}")
        assert (await setup(other))["source"] == "recording"


async def test_names_can_be_allowed() -> None:
    async with serving(SOURCE, hosts=["console.example"]) as address:
        assert (await get(address.base, "/", host="console.example"))[0] == 200
    with pytest.raises(LocalProtocolError, match="not the name of a host"):
        await serve_console(SOURCE, port=0, hosts=["http://x"])


async def test_a_token_opens_one_console_only() -> None:
    async with serving(SOURCE) as one, serving(SOURCE) as other:
        assert one.token.text != other.token.text
        status, _, _ = await get(one.base, "/setup.json", token=other.token.text)
        assert status == 401


def test_the_token_is_not_shown_by_accident() -> None:
    address = Address("http://127.0.0.1:1", Token())
    assert address.token.text not in repr(address)
    assert address.url == f"http://127.0.0.1:1/#{address.token.text}"
    assert len(address.token.text) == 43


async def test_over_ipv6_the_address_is_one_that_browsers_take() -> None:
    seen: list[Any] = []
    announced = Announced(seen.append)
    async with serving(SOURCE, host="::1") as address:
        announced.started(address)
        assert address.base.startswith("http://[::1]:")
    assert seen == [address]


async def test_an_address_that_is_taken_is_an_oserror() -> None:
    async with serving(SOURCE) as address:
        port = int(address.base.rpartition(":")[2])
        with pytest.raises(OSError, match=str(port)):
            await serve_console(SOURCE, port=port)
