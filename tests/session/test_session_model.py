"""A model that is gone: the error names the setting to change."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._session.opening import open_session
from realtime_trio.errors import ConnectionFailed
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
