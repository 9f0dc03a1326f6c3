"""A model that is gone: the error names the setting to change."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest
import trio
from peers import Server, created, failure, open_server

from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.json_text import write_json
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._serving.websocket_server import Accept, HandshakeRequest, Reject
from realtime_trio._session.opening import open_session
from realtime_trio.errors import ConnectionFailed, ConnectionLost
from realtime_trio.lasting import Reconnect
from realtime_trio.simulator import Script, serve_simulator

pytestmark = pytest.mark.socket


@pytest.mark.parametrize(
    ("place", "setting"),
    [
        ("argument", "'parrot-0' was chosen by the argument model="),
        ("endpoint", r"'parrot-0' was chosen by the endpoint: Endpoint\(model=...\)"),
        ("url", r"'parrot-0' was chosen by the parameter 'model' of the service's URL \(url=, or "),
        ("environment", "of the service's URL .*OPENAI_BASE_URL"),
        (
            "nothing",
            f"'{DEFAULT_MODEL}' was chosen by nobody, so it is the default of this version",
        ),
    ],
)
async def test_a_model_that_is_gone_is_an_error_that_names_the_setting(
    place: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            base = await nursery.start(partial(serve_simulator, Script(), models=["parrot-1"]))
            address: str | Endpoint | None = base
            match place:
                case "endpoint":
                    address = Endpoint(url=base, model="parrot-0")
                case "url":
                    address = f"{base}?model=parrot-0"
                case "environment":
                    monkeypatch.setenv("OPENAI_BASE_URL", f"{base}?model=parrot-0")
                    address = None
            model = "parrot-0" if place == "argument" else None
            with pytest.raises(ConnectionFailed, match=setting) as caught:
                async with open_session(model, url=address, api_key=None):
                    pass
            assert caught.value.code == "invalid_model"
            nursery.cancel_scope.cancel()


async def test_other_refusals_say_nothing_of_it() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            base = await nursery.start(partial(serve_simulator, Script(), api_key="sk-1"))
            with pytest.raises(ConnectionFailed) as caught:
                async with open_session("parrot-0", url=base, api_key="sk-2"):
                    pass
            assert "parrot-0" not in str(caught.value)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", ["handshake", "error"])
async def test_a_model_that_goes_while_a_session_lasts_ends_it_and_names_the_setting(
    way: str,
) -> None:
    said = "The model `parrot-0` has been retired."
    refusal = write_json({"error": {"message": said, "code": "model_not_found"}}).encode()
    visits = count(1)

    def admit(_: HandshakeRequest) -> Accept | Reject:
        is_first = next(visits) == 1
        return Accept() if is_first or way == "error" else Reject(status=404, body=refusal)

    async def serve(server: Server) -> None:
        if next(visits) <= 2:
            await server.say(created())
            await server.transport.aclose(1011, "restarting")
        else:
            await server.say(failure(said, code="model_not_found"))
            await server.transport.aclose(4004, "invalid_request_error.model_not_found")

    async def talk(url: str) -> None:
        policy = Reconnect(delay=0.01)
        async with open_session("parrot-0", url=url, api_key=None, reconnect=policy):
            await trio.sleep_forever()

    with trio.fail_after(10):
        async with open_server(serve, admit=admit) as url:
            with pytest.raises(ConnectionLost, match="1011 restarting") as caught:
                await talk(url)
    first, last = caught.value.__notes__
    assert said in first
    assert first.endswith("the model 'parrot-0' was chosen by the argument model=")
    assert last == "not tried again: it would be the same the next time"
