"""The packages of the extras `voice` and `voice-light`, loaded when somebody wants to use them.

Owns the error for those who have not installed them.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Literal

from realtime_trio._misuse import without_extra
from realtime_trio.errors import LocalProtocolError


def import_extra(
    module: str, package: str, *, extra: Literal["voice", "voice-light"]
) -> ModuleType:
    """Import a module that may be missing.

    By name, because none of these packages has types and none needs to be there.

    Args:
        module: What is imported.
        package: What is to be installed for it.
        extra: The extra that brings it.

    Raises:
        LocalProtocolError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise LocalProtocolError(without_extra("real speech", package, extra)) from error
