"""Function words that tell whether a sentence in Latin letters is English."""

from __future__ import annotations

import functools
from typing import Final

from r1ray.data.words import Sentence

_LONGEST: Final = 20
"""Most letters of a word that votes."""


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Function words that decide between English and other languages in Latin letters. Words that belong to both (``in``,
# ``so``, ``die``, ``due``) and first names (``Dan``) are in neither set.
ENGLISH: Final = _set_of(
    """
    the of and to that this is it for with are be been being have has had then which from by if not can could were
    there these those because since therefore thus hence let what when where how each both but you your they their
    will would should must into than now first we our us he she his its i'm let's it's don't doesn't that's we'll
    we're i'll isn't can't who why some any only more less just however wait next check find get gives means need
    know think say equals answer step number two three four one
    """
)
FOREIGN: Final = _set_of(
    """
    le la les un une des du de et est que qui dans pas nous vous il elle sont avec sur donc alors mais où au aux ce
    cette ces être avons puis ainsi deux trois comme leur nombre réponse el los las del es en por para con se como
    más entonces tenemos esta este esto pero cada dos ahora luego así ser muy también respuesta número der das und
    ist nicht ein eine einen einem einer wir von mit für auf den dem sich auch dann wenn aber oder sind wird werden
    haben zu zum zur im aus bei nach nur noch wie kann daher somit ich sie wurde durch über zwei gli di che sono
    della nel alla anche questo quindi abbiamo poi più ogni allora perché è os uma da não mas então temos são isso
    ao pela pelo foi você het een dat niet op te zijn voor ook maar dus als er aan bij naar worden wordt hebben twee
    deze och att det är på av inte eller har jag og til ikke af blir się jest że nie jak więc mamy oraz dla od są
    czy która ve bir için ile olarak olan daha değil yang ini itu dengan untuk dari adalah tidak pada akan kita jadi
    maka atau dapat karena juga sudah și cu nu din că egy és hogy nem että
    """
)


def english_votes(sentence: Sentence) -> int:
    """Return a number above 0 for English, below 0 for another language in Latin letters, 0 if no word tells. Words in
    lower case with accents speak against English; names (``Poincar\u00e9``) do not."""
    return sum(_vote(word) for kind, word in sentence if kind == "latin" and len(word) <= _LONGEST)


@functools.lru_cache(maxsize=1 << 15)
def _vote(word: str) -> int:
    lower = word.lower().replace("\u2019", "'")
    if lower in ENGLISH:
        return 1
    return -1 if lower in FOREIGN or (word[0].islower() and not lower.isascii()) else 0
