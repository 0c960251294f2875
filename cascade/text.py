"""What is done with any text: what no database or page takes is left out, words are stemmed."""

import re
from functools import lru_cache

UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters save for tabs and line ends, and halves of surrogate pairs."""


def readable(text: str) -> str:
    """The text with plain line ends, without controls, and "?" for half a surrogate pair."""
    plain = text.replace("\r\n", "\n").replace("\r", "")
    return UNREADABLE.sub(lambda found: "?" if found[0] >= "\ud800" else "", plain)


@lru_cache(4096)
def stem(word: str) -> str:
    """A word without the endings of English inflection: enough to know it again."""
    bare = re.sub(r"'(?:s|re|ve|ll|d|m)$", "", word.casefold())
    if len(bare) > 4:
        bare = re.sub(r"(?:ies|ied)$", "y", bare)
        bare = re.sub(r"(?:ing|ed|es|s|ment|ation)$", "", bare)
    if len(bare) > 3 and bare[-1] == bare[-2] and bare[-1] in "lptgnmdb":
        bare = bare[:-1]
    return bare[:-1] if len(bare) > 3 and bare.endswith("e") else bare
