"""Where a service is and how to be let in: URL, headers and subprotocols, without any IO.

Owns the rules that turn "the service at this address, with this key" into a WebSocket handshake,
for OpenAI, Azure and local servers.  Refuses to read the environment or a clock: what is not passed
in does not exist here.  Keys are hidden from every repr and every message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio.errors import LocalProtocolError

ApiKey = str | Callable[[], Awaitable[str]]
"""A key, or an async function that fetches one: it is called for every connection, so keys may
expire."""

OPENAI_URL: Final = "wss://api.openai.com/v1"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def _public_part(url: str) -> str:
    """The part of a URL that may be shown: no user name, no password and no query."""
    # By hand: urlsplit refuses some URLs, and a repr must never fail.
    shown = url.partition("?")[0]
    return repr(f"...@{shown.rpartition('@')[2]}" if "@" in shown else shown)


@frozen(kw_only=True)
class Endpoint:
    """A service to connect to.

    `Endpoint(url="ws://localhost:8000/v1")` is enough for a local server; `azure(...)` makes one
    for an Azure deployment.  What is left out here is taken from the arguments of `open_session`
    and `open_connection`.
    """

    url: str = field(default=OPENAI_URL, repr=_public_part)
    """`wss://`, `ws://`, `https://` or `http://`, as given for an API base
    (`https://api.openai.com/v1`) or for the WebSocket itself."""
    api_key: ApiKey | None = field(default=None, repr=False)
    """Key, ephemeral key, or an async function returning one; None sends no credentials."""
    auth: Literal["bearer", "api-key", "subprotocol"] = "bearer"
    """How the key travels: as `Authorization: Bearer`, as Azure's `api-key` header, or among the
    subprotocols, as browsers must do it."""
    model: str | None = None
    """Model or deployment; None leaves it to the caller."""
    call_id: str | None = None
    """Join this WebRTC or SIP call as an observer instead of starting a session; then no model is
    sent."""
    organization: str | None = None
    """Organization to bill."""
    project: str | None = None
    """Project to bill."""
    safety_identifier: str | None = field(default=None, repr=False)
    """A hash that stands for your end user, for the service's abuse detection."""
    headers: tuple[tuple[str, str], ...] = field(
        default=(), repr=False, converter=tuple[tuple[str, str], ...]
    )
    """More headers for the handshake."""
    model_parameter: str = "model"
    """Query parameter that names the model; older Azure deployments call it `deployment`."""
    dialect: Dialect = Dialect.GA
    """Which names the service uses on the wire."""

    def target(self, kind: SessionKind, model: str | None) -> str:
        """The URL of the WebSocket.

        Args:
            kind: Kind of session.
            model: Model to use if the endpoint does not name one; None for the default of the kind.

        Raises:
            LocalProtocolError: The URL has no usable scheme or host.
        """
        try:
            parts = urlsplit(self.url)
        except ValueError:
            # Without its text and its context, which may quote the URL, password and all.
            raise LocalProtocolError("the service URL has an invalid host") from None
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise LocalProtocolError(
                "a service URL starts with wss://, ws://, https:// or http:// and names a host"
            )
        path = parts.path.rstrip("/")
        row = KINDS[kind]
        # The URL may be the API's base or a WebSocket of any kind: both lead to the one wanted.
        path = path.removesuffix("/translations").removesuffix("/realtime") + row.path
        query = parse_qsl(parts.query, keep_blank_values=True)
        given = {name for name, _ in query}
        if self.call_id is not None:
            # An observer gets the session of the call as it is; the service ignores a model here.
            query.append(("call_id", self.call_id))
        else:
            if row.intent is not None and "intent" not in given:
                query.append(("intent", row.intent))
            if row.has_model_in_url and self.model_parameter not in given:
                query.append((self.model_parameter, self.model or model or row.default_model))
        return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))

    def credentials(self, key: str | None) -> tuple[list[tuple[str, str]], list[str]]:
        """The headers and the subprotocols to offer.

        Args:
            key: The key itself, fetched by the caller if `api_key` is a function.
        """
        headers = list(self.headers)
        if self.safety_identifier is not None:
            headers.append(("OpenAI-Safety-Identifier", self.safety_identifier))
        # Azure (`api-key`) takes the dialect from the version in the address.  Today's service
        # closes the connection of a client that sends this header.
        if self.dialect is Dialect.BETA and self.auth != "api-key":
            headers.append(("OpenAI-Beta", "realtime=v1"))
        # Organization and project travel with the key: a browser has no headers to set.
        if self.auth == "subprotocol":
            return headers, self._subprotocols(key)
        if key is not None:
            headers.append(
                ("api-key", key) if self.auth == "api-key" else ("Authorization", f"Bearer {key}")
            )
        if self.organization is not None:
            headers.append(("OpenAI-Organization", self.organization))
        if self.project is not None:
            headers.append(("OpenAI-Project", self.project))
        return headers, []

    def _subprotocols(self, key: str | None) -> list[str]:
        named = (
            ("openai-insecure-api-key", key),
            ("openai-organization", self.organization),
            ("openai-project", self.project),
        )
        # "realtime" first: it is the one that the server picks, the others carry data.
        offered = ["realtime", *(f"{name}.{value}" for name, value in named if value is not None)]
        return [*offered, "openai-beta.realtime-v1"] if self.dialect is Dialect.BETA else offered


def azure(
    resource_url: str,
    deployment: str,
    *,
    api_key: ApiKey | None = None,
    token: ApiKey | None = None,
    api_version: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Endpoint:
    """Describe a deployment on Azure, for `open_session(url=azure(...))`.

    Args:
        resource_url: `https://RESOURCE.openai.azure.com`.
        deployment: Name of the deployment.
        api_key: The resource's key.
        token: A Microsoft Entra token instead of a key; usually an async function, because tokens
            expire.
        api_version: Only for deployments that still speak the preview protocol: its version, which
            selects the old address and dialect.
        headers: More headers for the handshake.

    Raises:
        LocalProtocolError: Not exactly one of key and token was given.
    """
    if (api_key is None) == (token is None):
        raise LocalProtocolError("azure() takes either api_key or token")
    # The address may have been copied with the path of an API behind it.
    base = resource_url.rstrip("/").removesuffix("/openai/v1").removesuffix("/openai")
    if api_version is None:
        url, parameter, dialect = f"{base}/openai/v1/realtime", "model", Dialect.GA
    else:
        url, parameter, dialect = (
            f"{base}/openai/realtime?{urlencode({'api-version': api_version})}",
            "deployment",
            Dialect.BETA,
        )
    return Endpoint(
        url=url,
        api_key=token if api_key is None else api_key,
        auth="bearer" if api_key is None else "api-key",
        model=deployment,
        model_parameter=parameter,
        dialect=dialect,
        headers=tuple(headers),
    )
