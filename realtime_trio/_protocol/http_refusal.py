"""What a service says in the body of an HTTP answer with which it refuses something.

Owns the shapes of such a body.  Pure.  What follows from it is for whoever has asked.
"""

from __future__ import annotations

from attrs import frozen

from realtime_trio._protocol.json_text import parse_json


@frozen
class HttpRefusal:
    """The words of a refusal, as far as there are any."""

    message: str = ""
    """Why, for people; empty if it is not said."""
    code: str | None = None
    """Why, for programs: `model_not_found`."""

    @classmethod
    def of(cls, body: bytes) -> HttpRefusal:
        """Read a body: `{"error": {"message": ..., "code": ...}}`, or `{"error": "..."}`.

        Never raises: what is something else says nothing.
        """
        try:
            content = parse_json(body)
        except ValueError:
            return cls()
        match content:
            case {"error": {**error}}:
                message, code = error.get("message"), error.get("code")
                return cls(
                    message if isinstance(message, str) else "",
                    code if isinstance(code, str) else None,
                )
            case {"error": str(message)}:
                return cls(message)
        return cls()
