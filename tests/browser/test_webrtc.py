"""The example of WebRTC, in a browser: a page that talks with the service by a client secret.

The service's end of the call is a page of another browser, since the simulator speaks no WebRTC.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from browser_pages import OpenPage, run_program, spoken, wait_until, write_microphone

from realtime_trio.simulator import Script, serve_simulator

if TYPE_CHECKING:
    from playwright.sync_api import Request, Route

ROOT = Path(__file__).parents[2]
NEARBY = "--disable-features=WebRtcHideLocalIpsWithMdns"
"""Lets the two find each other by address: a machine for tests need not have multicast."""
KEY = "sk-of-the-example"
CALLS = "https://api.openai.com/v1/realtime/calls"

ANSWER = """
async (offer) => {
  const peer = new RTCPeerConnection();
  const clock = new AudioContext();
  const voice = new OscillatorNode(clock);
  const line = new MediaStreamAudioDestinationNode(clock);
  voice.connect(line);
  voice.start();
  peer.ondatachannel = ({ channel }) => {
    channel.onopen = () => channel.send('{"type":"session.created"}');
  };
  // What nobody plays is not measured.
  peer.ontrack = ({ streams: [question] }) => {
    window.player = Object.assign(new Audio(), { srcObject: question, autoplay: true });
  };
  await peer.setRemoteDescription({ type: "offer", sdp: offer });
  peer.addTrack(line.stream.getTracks()[0], line.stream);
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete") {
    await new Promise((done) => peer.addEventListener("icegatheringstatechange", done));
  }
  window.peer = peer;
  return peer.localDescription.sdp;
}
"""
LOUDNESS = """
async () => {
  for (const report of (await peer.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "audio") return report.audioLevel ?? 0;
  }
  return 0;
}
"""
"""Of what the service's end hears now, from 0 to 1."""


@contextmanager
def served() -> Iterator[str]:
    """The example, with a simulator for its secrets; gives the address of its page."""

    async def serve(announce: Callable[[str], None]) -> None:
        async with trio.open_nursery() as nursery:
            announce(await nursery.start(partial(serve_simulator, Script(), api_key=KEY)))

    with run_program(serve) as simulator:
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": simulator.url,
            "OPENAI_API_KEY": KEY,
            "PYTHONUNBUFFERED": "1",
        }
        program = [sys.executable, str(ROOT / "examples" / "webrtc.py"), "0"]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as page:
            try:
                assert page.stdout is not None
                yield page.stdout.readline().strip()
            finally:
                page.terminate()


def test_a_page_calls_the_service_by_a_secret_and_both_are_heard(
    open_page: OpenPage, tmp_path: Path
) -> None:
    pytest.importorskip("httpx2", reason="the extra rest is missing")
    question = write_microphone(tmp_path / "question.wav", spoken(60))
    with served() as url:
        service = open_page("about:blank", switches=[NEARBY])
        page = open_page(
            url, microphone=question, switches=[NEARBY], forgives=["session.created", "object"]
        )
        calls: list[Request] = []

        def answer(route: Route) -> None:
            calls.append(route.request)
            route.fulfill(
                status=201,
                content_type="application/sdp",
                headers={"access-control-allow-origin": "*"},
                body=service.evaluate(ANSWER, route.request.post_data),
            )

        page.route(CALLS, answer)
        with page.expect_console_message() as logged:
            page.get_by_role("button", name="Talk").click()
        [call] = calls
        assert call.method == "POST"
        assert call.headers["content-type"] == "application/sdp"
        assert re.fullmatch("Bearer ek_.+", call.headers["authorization"])
        offer = call.post_data or ""
        assert "m=audio" in offer
        assert "m=application" in offer
        assert KEY not in page.content() + offer
        assert logged.value.args[0].json_value() == {"type": "session.created"}
        # What it says and what it hears is more than silence.
        for heard in (
            lambda: service.evaluate(LOUDNESS) > 0.01,
            lambda: page.evaluate("document.querySelector('audio').currentTime") > 0.2,
        ):
            wait_until(page, heard, "nothing is heard")
