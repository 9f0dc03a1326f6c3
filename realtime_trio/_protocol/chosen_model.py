"""Which model is asked for, who has chosen it, and what to change when there is no such model.

Owns the wording of the advice.
"""

from __future__ import annotations

import re
from typing import Final

from realtime_trio._frozen import frozen

_CODES: Final = frozenset(
    {
        "DeploymentNotFound",  # Azure's
        "invalid_model",
        "model_deprecated",
        "model_not_available",
        "model_not_found",
        "model_retired",
    }
)
_GONE: Final = re.compile(
    r"\bmodel\b.*\b(deprecated|retired|shut ?down|discontinued|decommissioned|no longer"
    r"|does not exist|not supported|not found)\b",
    re.IGNORECASE | re.DOTALL,
)
"""How services say that a model is not there (any more).  How OpenAI's will say it of a realtime
model is not known before the first one has gone."""


@frozen
class ChosenModel:
    """A model, and where it was chosen."""

    name: str
    """Name of the model or the deployment."""
    setting: str
    """Where to change it, in words."""
    is_default: bool = False
    """Whether nobody has chosen it."""

    def advice(self, code: str | None, message: str) -> str:
        """What to do about a refusal, to be put behind it; empty if it is not about the model."""
        if code not in _CODES and _GONE.search(message) is None:
            return ""
        return f"; the model {self.name!r} was chosen by {self.setting}"
