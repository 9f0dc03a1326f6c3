"""Where a service is and how to be let in: URL, headers and subprotocols, without any IO.

Owns the rules that turn "the service at this address, with this key" into a WebSocket handshake,
for OpenAI, Azure and local servers.  Refuses to read the environment or a clock: what is not passed
in does not exist here.  Keys are hidden from every repr and every message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import NoneType
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from attrs import Attribute, field, frozen

from realtime_trio._misuse import check_choice, check_kind
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio.errors import LocalProtocolError

ApiKey = str | Callable[[], Awaitable[str]]
"""A key, or an async function that fetches one: it is called for every connection, so keys may
expire."""
Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers of a handshake: by their names, or as pairs, where a name may stand more than once."""

OPENAI_URL: Final = "wss://api.openai.com/v1"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def _public_part(url: str) -> str:
    """The part of a URL that may be shown: no user name, no password and no query."""
    # By hand: urlsplit refuses some URLs, and a repr must never fail.
    shown = url.partition("?")[0]
    return repr(f"...@{shown.rpartition('@')[2]}" if "@" in shown else shown)


def _to_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    given: object = headers
    # A text can be iterated, too: into letters.
    kinds = (Mapping,) if isinstance(given, str | bytes) else (Mapping, Iterable)
    check_kind("headers", given, *kinds, allowed="a mapping of str to str, or pairs of two str")
    pairs = [*(headers.items() if isinstance(headers, Mapping) else headers)]
    for pair in pairs:
        check_kind("each of the headers", pair, tuple, list, allowed="a pair of two str")
        if [type(part) for part in pair] != [str, str]:
            # Never quoted: one of them may be a key.
            raise TypeError("each of the headers must be a pair of two str; one is not")
    return tuple((name, value) for name, value in pairs)


def _text(_: object, attribute: Attribute[Any], value: object) -> None:
    check_kind(attribute.name, value, str, allowed="a str")


def _optional_text(_: object, attribute: Attribute[Any], value: object) -> None:
    check_kind(attribute.name, value, str, NoneType, allowed="a str or None")


def _usable_key(_: object, attribute: Attribute[Any], value: object) -> None:
    # An async function is called when something connects, and what it returns is checked then.
    if not callable(value):
        check_kind(attribute.name, value, str, NoneType, allowed="a str, an async function or None")
    if value == "":
        raise LocalProtocolError("api_key is empty; None sends no key")


def _known_way(_: object, attribute: Attribute[Any], value: object) -> None:
    check_choice(attribute.name, value, ("bearer", "api-key", "subprotocol"))


def _known_dialect(_: object, attribute: Attribute[Any], value: object) -> None:
    # Shown, unlike other values of a wrong kind: 'beta' looks right until it is seen beside these.
    if not isinstance(value, Dialect):
        raise TypeError(f"{attribute.name} must be Dialect.GA or Dialect.BETA, not {value!r}")


@frozen(kw_only=True)
class Endpoint:
    """A service to connect to.

    `Endpoint(url="ws://localhost:8000/v1")` is enough for a local server; `azure(...)` makes one
    for an Azure deployment.  What is left out here is taken from the arguments of `open_session`
    and `open_connection`.

    Raises:
        TypeError: A value is of a kind that cannot be meant.
        LocalProtocolError: The key is empty, or there is no such way for it to travel.
    """

    url: str = field(default=OPENAI_URL, repr=_public_part, validator=_text)
    """`wss://`, `ws://`, `https://` or `http://`, as given for an API base
    (`https://api.openai.com/v1`) or for the WebSocket itself."""
    api_key: ApiKey | None = field(default=None, repr=False, validator=_usable_key)
    """Key, ephemeral key, or an async function returning one; None sends no credentials."""
    auth: Literal["bearer", "api-key", "subprotocol"] = field(
        default="bearer", validator=_known_way
    )
    """How the key travels: as `Authorization: Bearer`, as Azure's `api-key` header, or among the
    subprotocols, as browsers must do it."""
    model: str | None = field(default=None, validator=_optional_text)
    """Model or deployment; None leaves it to the caller."""
    call_id: str | None = field(default=None, validator=_optional_text)
    """Join this WebRTC or SIP call as an observer instead of starting a session; then no model is
    sent."""
    organization: str | None = field(default=None, validator=_optional_text)
    """Organization to bill."""
    project: str | None = field(default=None, validator=_optional_text)
    """Project to bill."""
    safety_identifier: str | None = field(default=None, repr=False, validator=_optional_text)
    """A hash that stands for your end user, for the service's abuse detection."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False, converter=_to_headers)
    """More headers for the handshake, given as a mapping or as pairs."""
    model_parameter: str = field(default="model", validator=_text)
    """Query parameter that names the model; older Azure deployments call it `deployment`."""
    dialect: Dialect = field(default=Dialect.GA, validator=_known_dialect)
    """Which names the service uses on the wire."""

    def target(self, kind: SessionKind, model: str | None) -> str:
        """The URL of the WebSocket.

        Args:
            kind: Kind of session.
            model: Model to use if the endpoint does not name one; None for the default of the kind.

        Raises:
            TypeError: The model is not a str.
            LocalProtocolError: The URL has no usable scheme or host.
        """
        check_kind("model", model, str, NoneType, allowed="a str or None")
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
                query.append((self.model_parameter, self.chosen_model(kind, model).name))
        return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))

    def chosen_model(self, kind: SessionKind, model: str | None) -> ChosenModel:
        """The model that the address asks for, and who has chosen it.

        Args:
            kind: Kind of session.
            model: The model given to the function that connects, if any.
        """
        query = dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))
        if self.model_parameter in query:
            return ChosenModel(
                query[self.model_parameter],
                f"the parameter {self.model_parameter!r} of the service's URL (url=, or "
                "OPENAI_BASE_URL)",
            )
        if self.model:
            return ChosenModel(self.model, "the endpoint: Endpoint(model=...), or azure(...)")
        if model:
            return ChosenModel(model, "the argument model=")
        return ChosenModel(
            KINDS[kind].default_model,
            "nobody, so it is the default of this version: name another one with model=",
            is_default=True,
        )

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
    headers: Headers = (),
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
        headers: More headers for the handshake, as a mapping or as pairs.

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
        headers=_to_headers(headers),
    )
