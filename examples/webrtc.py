"""WebRTC without a relay: a page that talks with the service itself, by a client secret.

The key stays here.  The page gets a secret that is good for a minute, and sends its microphone to
the service by WebRTC.  The service is the one that OPENAI_API_KEY stands for; the simulator makes
client secrets, too, but does not speak WebRTC.  Needs the extra `rest`.
"""

import sys
from functools import partial
from typing import Final

import trio

from realtime_trio import SessionConfig
from realtime_trio.relay import (
    Grant,
    HttpRequest,
    HttpResponse,
    Route,
    mint_client_secret,
    serve_relay,
)

PAGE: Final = b"""<!doctype html>
<title>Talk</title>
<link rel="icon" href="data:,">
<button>Talk</button>
<audio autoplay></audio>
<script type="module">
document.querySelector("button").onclick = async () => {
  const { secret } = await (await fetch("/secret", { method: "POST" })).json();
  const peer = new RTCPeerConnection();
  peer.ontrack = ({ streams: [voice] }) => { document.querySelector("audio").srcObject = voice; };
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  peer.addTrack(microphone.getTracks()[0], microphone);
  peer.createDataChannel("oai-events").onmessage = ({ data }) => console.log(JSON.parse(data));
  await peer.setLocalDescription();
  const answer = await fetch("https://api.openai.com/v1/realtime/calls", {
    method: "POST",
    body: peer.localDescription.sdp,
    headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/sdp" },
  });
  if (!answer.ok) throw new Error(await answer.text());
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
};
</script>
"""


async def show_page(_: HttpRequest) -> HttpResponse:  # noqa: ASYNC124 - it may wait
    """The page."""
    headers = (("content-type", "text/html"),)
    return HttpResponse(status=200, headers=headers, body=PAGE)  # noqa: ASYNC910


async def make_secret(request: HttpRequest) -> HttpResponse:
    """A secret for one page; here, for everybody who has come to this machine."""
    if request.method != "POST":
        return HttpResponse(status=405)  # noqa: ASYNC910
    secret = await mint_client_secret(
        session=SessionConfig.of(instructions="You are a great, upbeat friend.", voice="marin"),
        seconds=60,
    )
    return HttpResponse(
        status=200,
        headers=(("content-type", "application/json"), ("cache-control", "no-store")),
        body=f'{{"secret":"{secret.value}"}}'.encode(),
    )


async def main() -> None:
    """Serve the page at the port in the first argument."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    routes = [Route("/", http=show_page), Route("/secret", http=make_secret)]
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(serve_relay, Grant(), port=port, routes=routes))
        print(url.replace("ws", "http", 1).removesuffix("v1/realtime"), flush=True)


trio.run(main)
