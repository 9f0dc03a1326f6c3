"""The simulator on a real port: who is let in, what is served, and how clients are kept apart."""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trustme
from simulator_clients import (
    TEXT,
    TRANSLATION,
    ask,
    receive_until,
    send,
    serving,
    turned_away,
)
from trio.testing import MockClock

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._session.opening import open_session
from realtime_trio._session.transcription import open_transcription_session
from realtime_trio._transport.contract import Close
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import (
    ConversationCreated,
    ConversationItemCreate,
    ConversationItemDone,
    ErrorEvent,
    RealtimeSession,
    ResponseCreate,
    ResponseDone,
    SessionCreated,
    SessionUpdated,
    Transcription,
    TranscriptionSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionOutputTranscriptDelta,
    UserMessage,
)
from realtime_trio.simulator import (
    Pacing,
    Reply,
    Script,
    Turn,
    serve_simulator,
    synthesize_speech,
)

# --- on a real port -------------------------------------------------------------------------------


@pytest.mark.socket
async def test_a_conversation_over_a_websocket() -> None:
    async with serving(Script([Reply.text("Fine.")])) as url:
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v1/realtime", url)
        async with open_websocket(
            f"{url}?model=gpt-realtime-mini", subprotocols=["realtime", "other"]
        ) as transport:
            assert transport.subprotocol == "realtime"
            await send(transport, TEXT, ResponseCreate())
            events = await receive_until(transport, ResponseDone)
    created = events[0]
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, RealtimeSession)
    assert created.session.model == "gpt-realtime-mini"
    assert re.fullmatch("sess_[0-9A-Za-z]{21}", created.session.id)
    assert "Fine." in str(events[-2:])


@pytest.mark.socket
async def test_every_connection_starts_the_script_from_the_beginning_and_has_its_own_ids() -> None:
    async with serving(Script([Reply.text("one")])) as url:
        answers, ids = [], set()
        for _ in range(2):
            async with open_websocket(f"{url}?model=x") as transport:
                await send(transport, TEXT, ResponseCreate())
                events = await receive_until(transport, ResponseDone)
                answers.append(any("OutputText(text='one')" in str(event) for event in events))
                ids |= {getattr(event, "event_id", None) for event in events}
    assert answers == [True, True]
    assert len(ids) > 20


@pytest.mark.socket
async def test_a_function_can_make_the_scripts() -> None:
    numbers = iter(range(10))
    async with serving(lambda: Script([Reply.text(f"number {next(numbers)}")])) as url:
        said = []
        for _ in range(2):
            async with open_websocket(f"{url}?model=x") as transport:
                await send(transport, TEXT, ResponseCreate())
                said += re.findall(
                    r"OutputText\(text='(number \d)'\)",
                    str((await receive_until(transport, ResponseDone))[-2]),
                )
    assert said == ["number 0", "number 1"]


@pytest.mark.socket
async def test_without_a_script_it_answers_for_itself() -> None:
    async with serving() as url, open_websocket(f"{url}?model=x") as transport:
        await send(
            transport, TEXT, ConversationItemCreate(item=UserMessage.text("Hi!")), ResponseCreate()
        )
        assert "You said: Hi!" in str(await receive_until(transport, ResponseDone))


@pytest.mark.socket
@pytest.mark.parametrize("query", ["intent=transcription", "intent=transcription&model=x"])
async def test_a_transcription_session_needs_no_model(query: str) -> None:
    async with serving() as url, open_websocket(f"{url}?{query}") as transport:
        (created,) = await receive_until(transport, SessionCreated)
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, TranscriptionSession)


@pytest.mark.socket
async def test_only_realtime_and_translations_are_served() -> None:
    async with serving() as url:
        for path in ("/v1/chat", "/v1/translations?model=x", "/v1/realtime/other?model=x"):
            with pytest.raises(ConnectionFailed) as info:
                async with open_websocket(url.replace("/v1/realtime", path)):
                    raise AssertionError
            assert info.value.status == 404
        async with open_websocket(
            url.replace("/v1/realtime", "/openai/realtime?model=x")
        ) as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
async def test_a_translation_over_a_websocket() -> None:
    async with (
        serving(Script(translations=[("Hallo.", "Hello.")])) as url,
        open_websocket(f"{url}/translations?model=gpt-realtime-translate") as transport,
    ):
        for event in (
            TranslationSessionInputAudioBufferAppend(audio=bytes(9600)),
            TranslationSessionClose(),
        ):
            await transport.send(TRANSLATION.encode(event))
        events = await receive_until(transport, TranslationSessionClosed, TRANSLATION)
        assert await receive_until(transport, TranslationSessionClosed, TRANSLATION) == []
        assert transport.closed == Close(1000)
    created = events[0]
    assert isinstance(created, TranslationSessionCreated)
    assert created.session.model == "gpt-realtime-translate"
    assert created.session.expires_at > 1_700_000_000
    assert (
        "".join(
            event.delta
            for event in events
            if isinstance(event, TranslationSessionOutputTranscriptDelta)
        )
        == "Hello."
    )


@pytest.mark.socket
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_model"),
        ("?model=x&intent=transcription", "invalid_intent"),
        ("?intent=x", "invalid_intent"),
    ],
)
async def test_a_translation_session_needs_a_model_and_refuses_an_intent(
    query: str, code: str
) -> None:
    async with serving() as url:
        event, close = await turned_away(f"{url}/translations{query}")
    assert event.error.code == code
    assert close == Close(4000, f"invalid_request_error.{code}")


@pytest.mark.socket
async def test_a_session_without_a_model_is_closed_after_an_error() -> None:
    async with serving() as url:
        event, close = await turned_away(url)
    assert event.error.code == "missing_model"
    assert close == Close(4000, "invalid_request_error.missing_model")


@pytest.mark.socket
@pytest.mark.parametrize(
    "options",
    [{"headers": [("OpenAI-Beta", "realtime=v1")]}, {"subprotocols": ["openai-beta.realtime-v1"]}],
)
async def test_the_old_protocol_is_refused(options: dict[str, Any]) -> None:
    async with serving() as url:
        event, close = await turned_away(f"{url}?model=x", **options)
    assert event.error.code == "beta_api_shape_disabled"
    assert close == Close(4000, "invalid_request_error.beta_api_shape_disabled")


@pytest.mark.socket
@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("Authorization", "Bearer sk-right")]},
        {"headers": [("api-key", "sk-right")]},
        {"subprotocols": ["realtime", "openai-insecure-api-key.sk-right"]},
    ],
)
async def test_the_right_key_is_let_in_however_it_comes(options: dict[str, Any]) -> None:
    async with (
        serving(api_key="sk-right") as url,
        open_websocket(f"{url}?model=x", **options) as transport,
    ):
        assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (
            {"headers": [("Authorization", "Bearer sk-wrong")]},
            "invalid_api_key",
            "invalid_request_error.invalid_api_key",
        ),
        (
            {"subprotocols": ["openai-insecure-api-key.sk-wrong"]},
            "invalid_api_key",
            "invalid_request_error.invalid_api_key",
        ),
        ({"headers": [("Authorization", "Basic sk-right")]}, None, "invalid_request_error"),
        ({}, None, "invalid_request_error"),
    ],
)
async def test_another_key_is_refused_and_not_repeated(
    options: dict[str, Any], code: str | None, reason: str
) -> None:
    async with serving(api_key="sk-right") as url:
        event, close = await turned_away(f"{url}?model=x", **options)
    assert event.error.code == code
    assert close == Close(3000, reason)
    assert "sk-" not in event.error.message


@pytest.mark.socket
async def test_a_session_over_a_websocket_expires() -> None:
    async with serving(expires_after=0.05) as url, open_websocket(f"{url}?model=x") as transport:
        events = await receive_until(transport, ErrorEvent)
        await receive_until(transport, ErrorEvent)
        closed = transport.closed
    assert isinstance(events[-1], ErrorEvent)
    assert closed == Close(1001, "session_expired")
    created = events[0]
    assert isinstance(created, SessionCreated)
    assert created.session.expires_at is not None
    assert created.session.expires_at > 1_700_000_000


@pytest.mark.socket
async def test_a_client_can_leave_in_the_middle_of_an_answer() -> None:
    script = Script([Reply.text("a b c", pacing=Pacing(tokens_per_second=0.1))])
    async with serving(script) as url:
        async with open_websocket(f"{url}?model=x") as transport:
            await send(transport, ResponseCreate())
            await receive_until(transport, SessionCreated)
        async with open_websocket(f"{url}?model=x") as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
async def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    await trio.lowlevel.checkpoint()
    try:
        async with serving(host="::1") as url:
            assert re.fullmatch(r"ws://\[::1\]:\d+/v1/realtime", url)
    except* OSError:
        pytest.skip("this machine has no IPv6")


# --- REST and client secrets ----------------------------------------------------------------------


@pytest.mark.socket
async def test_the_rest_endpoints_are_on_the_same_port() -> None:
    async with serving(api_key="sk-right", models=["mine"]) as url:
        status, headers, answer = await ask(url, "GET", "/v1/models", key="sk-right")
        assert (status, [model["id"] for model in answer["data"]]) == (200, ["mine"])
        assert abs(answer["data"][0]["created"] - time.time()) < 60
        assert headers["x-request-id"].startswith("req_")
        assert int(headers["openai-processing-ms"]) >= 0
        assert (await ask(url, "GET", "/v1/models"))[0] == 401
        assert (await ask(url, "GET", "/v1/nothing"))[0] == 404
        event, _ = await turned_away(
            f"{url}?model=other", headers=[("Authorization", "Bearer sk-right")]
        )
        assert event.error.code == "invalid_model"
        async with open_websocket(
            f"{url}?model=mine", headers=[("Authorization", "Bearer sk-right")]
        ) as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1


@pytest.mark.socket
async def test_a_websocket_where_there_is_none_gets_the_same_404() -> None:
    async with serving() as url:
        with pytest.raises(ConnectionFailed) as info:
            async with open_websocket(url.replace("/v1/realtime", "/v1/chat")):
                raise AssertionError
        assert json.loads(info.value.body) == (await ask(url, "GET", "/v1/chat"))[2]


@pytest.mark.socket
async def test_a_session_with_a_client_secret_is_configured_from_the_start_and_outlives_the_secret(
    mock_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(
            partial(serve_simulator, Script([Reply.text("Bonjour.")]), api_key="sk-right")
        )
        session = {
            "type": "realtime",
            "model": "gpt-realtime-2",
            "instructions": "In French.",
            "output_modalities": ["text"],
        }
        _, _, answer = await ask(
            url, "POST", "/v1/realtime/client_secrets", {"session": session}, key="sk-right"
        )
        assert abs(answer["expires_at"] - time.time() - 600) < 60
        key = answer["value"]
        async with open_websocket(
            url, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]
        ) as transport:
            (created,) = await receive_until(transport, SessionCreated)
            assert isinstance(created, SessionCreated)
            assert isinstance(created.session, RealtimeSession)
            assert (created.session.model, created.session.instructions) == (
                "gpt-realtime-2",
                "In French.",
            )
            assert created.session.expires_at is not None
            assert abs(created.session.expires_at - time.time() - 3600) < 60
            mock_clock.jump(601)
            event, close = await turned_away(url, headers=[("Authorization", f"Bearer {key}")])
            assert event.error.message == "Ephemeral token expired"
            assert close == Close(3000, "invalid_request_error")
            await send(transport, ResponseCreate())
            assert "Bonjour." in str(await receive_until(transport, ResponseDone))
        nursery.cancel_scope.cancel()


@pytest.mark.socket
async def test_a_translation_with_a_client_secret_is_configured_from_the_start() -> None:
    async with serving() as url:
        session = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}
        _, _, answer = await ask(
            url, "POST", "/v1/realtime/translations/client_secrets", {"session": session}
        )
        async with open_websocket(
            f"{url}/translations", headers=[("Authorization", f"Bearer {answer['value']}")]
        ) as transport:
            (created,) = await receive_until(transport, TranslationSessionCreated, TRANSLATION)
    assert isinstance(created, TranslationSessionCreated)
    assert created.session.audio.output is not None
    assert created.session.audio.output.language == "fr"


@pytest.mark.socket
async def test_everything_is_served_over_tls() -> None:
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with serving(ssl_context=server) as url:
        assert re.fullmatch(r"wss://127\.0\.0\.1:\d+/v1/realtime", url)
        async with open_websocket(f"{url}?model=x", ssl_context=client) as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        stream = await trio.open_ssl_over_tcp_stream(
            address.hostname, address.port, ssl_context=client, https_compatible=True
        )
        async with stream:
            await stream.send_all(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")


# --- the beta protocol ----------------------------------------------------------------------------


def in_beta(url: str, **options: Any) -> Endpoint:
    return Endpoint(url=url, dialect=Dialect.BETA, **options)


@pytest.mark.socket
@pytest.mark.parametrize("auth", ["bearer", "subprotocol"])
async def test_a_text_turn_in_the_beta_protocol(auth: Any) -> None:
    async with (
        serving(Script([Reply.text("Fine, thanks.")]), beta=True, api_key="sk-right") as url,
        open_session(
            url=in_beta(url, auth=auth, api_key="sk-right"), output_modalities=["text"]
        ) as session,
    ):
        assert session.config.output_modalities == ("text",)
        await session.send_message("How are you?", respond=False)
        async with session.open_response() as response:
            answer = await response.wait()
        assert answer.text == "Fine, thanks."
        assert [item.role for item in session.conversation.items] == ["user", "assistant"]


@pytest.mark.socket
async def test_a_beta_session_begins_with_its_conversation() -> None:
    async with (
        serving(beta=True) as url,
        open_session(url=in_beta(url), output_modalities=["text"]) as session,
    ):
        created = await session.events(ConversationCreated).receive()
        responses = session.events(ResponseDone)
        await session.ask("How are you?")
        done = await responses.receive()
        assert created.conversation.id == done.response.conversation_id
        assert created.conversation.id


@pytest.mark.socket
async def test_a_beta_transcription_has_no_conversation() -> None:
    async with (
        serving(beta=True) as url,
        open_transcription_session(url=in_beta(url)) as session,
    ):
        events = session.events()
        assert [(await events.receive()).type for _ in range(events.pending)] == [
            "session.created",
            "session.updated",
        ]


@pytest.mark.socket
async def test_an_audio_turn_in_the_beta_protocol() -> None:
    script = Script([Reply.speech("Good morning.")], transcripts=["Hello there."])
    async with (
        serving(script, beta=True) as url,
        open_session(
            url=in_beta(url),
            turn_detection=None,
            transcription=Transcription(model="whisper-1"),
            voice="marin",
        ) as session,
    ):
        async with session.user_turn(respond=False):
            await session.append_audio(synthesize_speech("Hello there."))
        async with session.open_response() as response:
            answer = await response.wait()
        assert (answer.status, answer.transcript) == ("completed", "Good morning.")
        assert answer.audio.size == synthesize_speech("Good morning.").size
        assert [item.role for item in session.conversation.items] == ["user", "assistant"]


@pytest.mark.socket
async def test_a_tool_call_in_the_beta_protocol() -> None:
    asked = []

    def get_weather(city: str) -> str:
        """Say what the weather is like."""
        asked.append(city)
        return "sunny"

    script = Script([Reply.call("get_weather", city="Oslo"), Reply.text("It is sunny in Oslo.")])
    async with (
        serving(script, beta=True) as url,
        open_session(url=in_beta(url), tools=[get_weather], output_modalities=["text"]) as session,
    ):
        responses = session.events(ResponseDone)
        await session.send_message("What is the weather like in Oslo?")
        await anext(responses)
        assert "It is sunny in Oslo." in str(await anext(responses))
    assert asked == ["Oslo"]


@pytest.mark.socket
async def test_a_beta_server_still_speaks_todays_protocol() -> None:
    async with serving(beta=True) as url, open_websocket(f"{url}?model=x") as transport:
        assert len(await receive_until(transport, SessionCreated)) == 1
        await send(transport, ConversationItemCreate(item=UserMessage.text("Hi")))
        assert await receive_until(transport, ConversationItemDone)


# --- what happens to one concerns no other --------------------------------------------------------


@pytest.mark.socket
async def test_a_client_whose_script_fails_or_who_drops_in_the_middle_of_a_frame_disturbs_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(turn: Turn) -> bool:
        if "crash" in str(turn.items):
            raise KeyError("x")
        return True

    async with (
        serving(Script([Reply.text("Fine.", when=fail)])) as url,
        open_websocket(f"{url}?model=x") as good,
    ):
        await send(good, TEXT)
        await receive_until(good, SessionUpdated)
        async with open_websocket(f"{url}?model=x") as bad:
            await send(
                bad, ConversationItemCreate(item=UserMessage.text("crash")), ResponseCreate()
            )
            await receive_until(bad, ResponseDone)
            assert bad.closed == Close(1011, "internal error")
        async with open_websocket(f"{url}?model=x") as broken:
            await receive_until(broken, SessionCreated)
            await broken._tap.send_all(b"\x81\xfe\x10\x00half a frame")
            broken.reset()
        await send(good, ResponseCreate())
        assert "Fine." in str(await receive_until(good, ResponseDone))
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in errors] == [
        "the handler of a connection failed; closing it"
    ]


@pytest.mark.socket
async def test_two_servers_may_record_in_one_folder(tmp_path: Path) -> None:
    async with (
        serving(Script(), record=tmp_path) as one,
        serving(Script(), record=tmp_path) as other,
    ):
        for url in (one, other, one, other):
            async with open_websocket(f"{url}?model=x") as transport:
                await transport.receive()
    assert len(os.listdir(tmp_path)) == 4
