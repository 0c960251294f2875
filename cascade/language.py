"""Which language a short text is in, as far as its small words and letters tell."""

import re
import unicodedata
from collections import Counter

SMALL_WORDS = {
    "en": "the is are my can how what when where why do does i you it to and of for with have not "
    "want would please this that was will your me",
    "de": "der die das ist sind mein meine kann wie was wann wo warum ich du sie es zu und von für "
    "mit habe nicht möchte bitte ein eine wird auf noch",
    "fr": "le la les est sont mon ma mes puis comment quand où pourquoi je vous il et de des pour "
    "avec ai pas voudrais une un du au ce que peux",
    "es": "el la los las es son mi mis puedo cómo cuándo dónde qué yo usted y de para con he no "
    "quiero una un del al mi está como cuando",
    "it": "il lo la gli è sono mio mia posso come quando dove perché io e di per con ho non vorrei "
    "una un del al che ordine",
    "nl": "de het een is zijn mijn kan hoe wat wanneer waar waarom ik je u en van voor met heb "
    "niet wil nog ook",
    "pt": "o os as é são meu minha posso como quando onde por que eu você e de para com tenho não "
    "quero uma um do ao",
    "pl": "jest są mój moja mogę jak co kiedy gdzie dlaczego ja i z dla do nie chcę na się czy",
}
KNOWN = {name: frozenset(words.split()) for name, words in SMALL_WORDS.items()}
WORD = re.compile(r"[^\W\d_]+")
LEAST = 2
"""Small words of a language that must be there before it is named."""


def language_of(text: str) -> str | None:
    """The language whose small words are in the text most, or None where that is not clear.

    >>> language_of("Wie kann ich meine Bestellung stornieren?")
    'de'
    """
    words = [word.casefold() for word in WORD.findall(text)]
    counts = {name: sum(word in small for word in words) for name, small in KNOWN.items()}
    (best, most), (_, next_most) = sorted(counts.items(), key=lambda item: -item[1])[:2]
    return best if most >= LEAST and most > next_most else None


def script_of(text: str) -> str:
    """The alphabet of most of the letters, such as "LATIN" or "CYRILLIC"; "" without letters."""
    scripts = Counter(
        unicodedata.name(letter, "?").partition(" ")[0] for letter in text if letter.isalpha()
    )
    return scripts.most_common(1)[0][0] if scripts else ""
