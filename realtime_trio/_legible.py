"""What somebody else said, made fit to stand in an exception or in a line of a log.

Owns how much of it is shown, and what stands for characters that would do more than be read: a line
break forges a line of a log, an escape sequence rewrites the terminal that shows it, and half a
surrogate pair cannot be written to a file at all.
"""

from __future__ import annotations

from typing import Final

MOST_SHOWN: Final = 500
"""Characters of somebody else's text in a message of ours.  The service's own explanations take up
to 300."""


def legible(said: str, most: int = MOST_SHOWN) -> str:
    r"""The text in printable characters: `\n`, `\x1b` and the like stand for all others.

    Args:
        said: What a peer has sent, of any length.
        most: How many characters are shown at most; a longer text is cut off and says so.
    """
    # Cut before it is escaped, for the sake of megabytes, and afterwards, because it has grown.
    shown = said[:most]
    if not shown.isprintable():
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
            for each in shown
        )[:most]
    return shown if len(said) <= most else f"{shown}... ({len(said)} characters)"
