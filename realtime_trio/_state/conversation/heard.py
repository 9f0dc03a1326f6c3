"""Which words of a speech were heard, when it is only known how much of it was.

Owns an estimate.  The protocol does not say at which moment a word is spoken; when speech is cut,
it even takes back the transcript.  So words are counted as if every character took the same time,
and none is told of which the end was not heard.
"""

from __future__ import annotations

import re
from typing import Final

_WORD_END: Final = re.compile(
    r"(?=\s)"
    # Scripts that do not separate words: Thai, Lao, Burmese, Khmer, Japanese and Chinese.
    r"|(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff])"
)


def words_heard(words: str, heard: float, whole: float) -> str:
    """The words that were heard of a speech: those whose share of the time was over.

    Args:
        words: Everything that was said.
        heard: How much of it was heard, in any unit of time.
        whole: How long all of it took, in the same unit; of what takes no time nothing was heard.

    Returns:
        A beginning of `words` that ends with a whole word.
    """
    if whole <= 0:
        return ""
    if heard >= whole:
        return words
    count = int(len(words) * heard / whole)
    ends = (match.start() for match in _WORD_END.finditer(words))
    return words[: max((end for end in ends if end <= count), default=0)]
