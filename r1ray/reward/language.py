r"""Language consistency reward: the share of target-language words in the reasoning (paper section 2.3.2).

    reasoning --prose--> code, formulae and links left out --classify_words--> words with labels --> share

Words are told apart by Unicode script, and Latin-letter words by the function words around them: English, or some
other language. That is as far as it goes, on purpose: languages of one script (Russian and Ukrainian, Arabic and
Persian) count as one, and Latin-letter languages other than English are refused as targets (``language_problem``).
tests/reward/data/README.md has the measured accuracy, and that of libraries. All of it takes linear time.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from r1ray.errors import UnscorableError
from r1ray.reward.format import reasoning_of
from r1ray.types import Prompt, Response

# Letters and combining marks of each script that separates words; digits and punctuation left out.
_SPACED: Final = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f"
    "\ua720-\ua7ff\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a",
    "greek": "\u0370-\u037d\u037f-\u0386\u0388-\u03ff\u1f00-\u1ffe",
    "cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "armenian": "\u0531-\u0556\u0561-\u0588",
    "hebrew": "\u0591-\u05bd\u05bf-\u05c7\u05d0-\u05f4\ufb1d-\ufb4f",
    "arabic": "\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff"
    "\ufe70-\ufefc",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "bengali": "\u0980-\u09e3\u09f0-\u09ff",
    "gurmukhi": "\u0a00-\u0a63\u0a70-\u0a7f",
    "gujarati": "\u0a80-\u0ae3\u0af0-\u0aff",
    "oriya": "\u0b00-\u0b63\u0b70-\u0b7f",
    "tamil": "\u0b80-\u0be5\u0bf0-\u0bff",
    "telugu": "\u0c00-\u0c63\u0c70-\u0c7f",
    "kannada": "\u0c80-\u0ce3\u0cf0-\u0cff",
    "malayalam": "\u0d00-\u0d63\u0d70-\u0d7f",
    "sinhala": "\u0d80-\u0de5\u0df0-\u0dff",
    "georgian": "\u10a0-\u10ff\u1c90-\u1cbf",
    "ethiopic": "\u1200-\u135f\u1380-\u139f",
    "hangul": "\u1100-\u115e\u1161-\u11ff\u3131-\u3163\u3165-\u318e\uac00-\ud7a3",
}
# Scripts without spaces between words, and how many words a character counts as. One Chinese character counts like
# one English word. A kana is a syllable; words of Thai, Lao, Burmese and Khmer have about four characters.
_UNSPACED: Final = {
    "han": ("\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", 1.0),
    "kana": ("\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f", 0.5),
    "thai": ("\u0e01-\u0e3e\u0e40-\u0e4e", 0.25),
    "lao": ("\u0e81-\u0ecf\u0edc-\u0edf", 0.25),
    "burmese": ("\u1000-\u103f\u1050-\u109f", 0.25),
    "khmer": ("\u1780-\u17d3\u17dc-\u17dd", 0.25),
}
_LANGUAGES_OF_LABEL: Final = {
    "en": "en",
    "zh": "zh",
    "ja": "ja",
    "hangul": "ko",
    "greek": "el",
    "cyrillic": "ru uk be bg mk sr kk ky mn tg tt",
    "armenian": "hy",
    "hebrew": "he yi",
    "arabic": "ar fa ur ps sd ug ckb",
    "devanagari": "hi mr ne sa",
    "bengali": "bn as",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
    "georgian": "ka",
    "ethiopic": "am ti",
    "thai": "th",
    "lao": "lo",
    "burmese": "my",
    "khmer": "km",
}
LABEL_OF_LANGUAGE: Final = {
    language: label for label, languages in _LANGUAGES_OF_LABEL.items() for language in languages.split()
}
"""Every language that can be a target, and the label that its words get."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Function words that decide which of two kinds a sentence in Latin letters is. Words that belong to both (``in``,
# ``so``, ``die``, ``due``) and first names (``Dan``) are in neither.
_ENGLISH: Final = _words(
    """
    the of and to that this is it for with are be been being have has had then which from by if not can could were
    there these those because since therefore thus hence let what when where how each both but you your they their
    will would should must into than now first we our us he she his its i'm let's it's don't doesn't that's we'll
    we're i'll isn't can't who why some any only more less just however wait next check find get gives means need
    know think say equals answer step number two three four one
    """
)
_FOREIGN: Final = _words(
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
# Latin letters that are no language's words: units, functions, names of letters. One letter alone never is a word.
_SYMBOLS: Final = _words(
    """
    mm cm dm km nm mg kg ml mL dL kL Hz kHz MHz GHz kW kWh eV kJ kPa mol rad deg ms min max sin cos tan cot sec csc
    arcsin arccos arctan sinh cosh tanh log ln lg exp lim mod gcd lcm det dim ker sqrt frac sup inf arg alpha beta
    gamma delta theta lambda sigma omega phi pi dx dy dt xy yz xz ab bc ac pH vs etc eq Eq
    """
)

_LETTERS: Final = "".join(_SPACED.values())
_MARKS: Final = "\u0300-\u036f"
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"))

# Each quantifier that could give characters back is possessive: what one alternative has read, it has read.
_TOKEN: Final = re.compile(
    r"(?P<stop>[.!?;\n\u3002\uff01\uff1f\uff1b\u0964\u061f\u06d4]+)"
    r"|(?P<symbol>(?:https?://|www\.)[!-~]++|</?[A-Za-z][A-Za-z0-9_-]{0,30}/?>|<\|[^<>|\n]{1,40}\|>|\\[A-Za-z]++"
    r"|[0-9]++(?:[.,][0-9]++)*+[A-Za-z0-9_]*+|[A-Za-z]*+_[A-Za-z0-9_]*+|[A-Za-z]++[0-9][A-Za-z0-9_]*+"
    r"|[\u2100-\u214f\U0001d400-\U0001d7ff]++)|"
    + "|".join(
        f"(?P<{script}>[{letters}][{letters}{_MARKS}]*+(?![{_LETTERS}])"
        f"(?:['\u2019][{letters}{_MARKS}]++(?![{_LETTERS}]))?+)"
        for script, letters in _SPACED.items()
    )
    + "|"
    + "|".join(f"(?P<{script}>[{letters}]++)" for script, (letters, _) in _UNSPACED.items())
    + f"|(?P<mixed>[{_LETTERS}][{_LETTERS}{_MARKS}]*+|[^\\W\\d_])"
)
_SPAN: Final = re.compile(
    r"^[ \t]*+(?P<fence>```+|~~~+)(?P<info>[^\n`]*)$"
    r"|(?P<ticks>`+)|(?P<dollars>\${1,2})|\\(?P<bracket>[()\[\]])|\\(?P<edge>begin|end)\{(?P<name>[A-Za-z]{1,30}\*?)\}"
    r"|\\{1,2}boxed[ ]?(?P<box>\{)|(?P<brace>[{}])|(?P<blank>\n[ \t]*+\n)|\\.",
    re.MULTILINE,
)
_REPEATED: Final = re.compile(r"(.)\1{2,}")
_SHORT_HAN: Final = 5


class Word(NamedTuple):
    """A word, or a run of characters of a script without spaces."""

    text: str
    label: str
    """``en``, ``latin`` (another language in Latin letters), ``zh``, ``ja``, ``han`` (too short to say which of the
    two), the script, ``mixed`` (letters of several scripts) or ``symbol`` (a number, a unit, a variable)."""
    size: float
    """How many words it counts as; 0 for symbols."""


def language_consistency(prompt: Prompt, response: Response) -> float:
    """Share of the words of the reasoning that are in the language of the prompt, in [0, 1]. Reasoning without words
    earns nothing. See :func:`language_share`.

    What the definition leaves open: reasoning that the model hides in code or formulae is not seen, and one sentence of
    the target language in front of it earns all. The reward is a companion of accuracy, not a goal.

    Raises:
        UnscorableError: the prompt's language cannot be measured.
    """
    problem = language_problem(prompt.language)
    if problem is not None:
        raise UnscorableError(problem)
    return language_share(reasoning_of(prompt, response) or "", prompt.language)


def language_share(text: str, language: str) -> float:
    """Share of target-language words in a text.

    A word that is said more than twice in a row counts twice: filler neither adds words of the target language nor
    waters down those of another one. Text of which more than half is such filler is paid in proportion. Whole
    sentences said again are not looked for; that is what ``repetition_penalty`` measures.

    >>> language_share("We add 2 and 3 to get $x=5$.", "en"), language_share("2 + 3 = 5", "en")
    (1.0, 0.0)
    """
    label = LABEL_OF_LANGUAGE[_code(language)]
    wanted = {label, "han"} if label in ("zh", "ja") else {label}
    all_words = counted = on_target = 0.0
    before, times = "", 0
    for word in classify_words(text):
        times = times + 1 if word.text == before else 1
        before = word.text
        size = word.size if times <= 2 else 0.0
        if word.label in _UNSPACED or word.label in ("zh", "ja"):
            size *= len(_REPEATED.sub(r"\1\1", word.text)) / len(word.text)
        all_words += word.size
        counted += size
        on_target += size if word.label in wanted else 0.0
    return on_target / counted * min(1.0, 2 * counted / all_words) if counted else 0.0


def language_problem(language: str) -> str | None:
    """Why a language cannot be the target of ``language_consistency``; None where it can.

    >>> language_problem("zh-TW") is None
    True
    """
    if _code(language) in LABEL_OF_LANGUAGE:
        return None
    return (
        f"language {language!r}: language_consistency tells languages apart by their script, and among those in Latin "
        f"letters only English from the rest; needs one of {', '.join(sorted(LABEL_OF_LANGUAGE))}."
    )


def _code(language: str) -> str:
    """``zh-Hant-TW`` and ``zh_CN`` are ``zh``."""
    return re.split("[-_]", language.strip().lower(), maxsplit=1)[0]


def prose(text: str) -> str:
    r"""The text without code and formulae; each leaves a 0 behind, so that what stood around it does not join.

    Left out are fenced blocks (to the end where none closes), code between backticks, ``$..$``, ``$$..$$``,
    ``\(..\)``, ``\[..\]``, ``\begin{x}..\end{x}`` and ``\boxed{..}``. What opens and is never closed is text, and a
    dollar sign is a price where pandoc says so: nothing closes that has a space before it or a digit after it.
    """
    tokens = list(_SPAN.finditer(text))
    closers = _closers(tokens, text)
    pieces, start, index = [], 0, 0
    while index < len(tokens):
        closer = closers[index]
        if closer is None:
            index += 1
            continue
        pieces += [text[start : tokens[index].start()], " 0 "]
        start = tokens[closer].end() if closer < len(tokens) else len(text)
        index = closer + 1
    return "".join((*pieces, text[start:]))


def _closers(tokens: list[re.Match[str]], text: str) -> list[int | None]:
    """For each token the index of the one that closes what it opens: the number of tokens where the end of the text
    does, None where it opens nothing. One pass from the end."""
    closers: list[int | None] = [None] * len(tokens)
    inline: dict[str, int] = {}  # what closes next, in this paragraph
    anywhere: dict[str, int] = {}  # what closes next, in the text
    braces: list[int] = []  # closing braces that wait for their opening one
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if fence := token["fence"]:
            mark = fence[0]
            closers[index] = anywhere.get(mark, len(tokens))
            if not token["info"].strip():
                anywhere[mark] = index
            inline.clear()
            braces.clear()
        elif ticks := token["ticks"]:
            closers[index] = inline.get(ticks)
            inline[ticks] = index
        elif dollars := token["dollars"]:
            before, after = text[max(token.start() - 1, 0) : token.start()], text[token.end() : token.end() + 1]
            if dollars == "$$" or (after and not after.isspace()):
                closers[index] = inline.get(dollars)
            inline.pop(dollars, None)
            if dollars == "$$" or not (before.isspace() or after.isdigit()):
                inline[dollars] = index
        elif bracket := token["bracket"]:
            if bracket in ")]":
                anywhere[bracket] = index
            else:
                closers[index] = anywhere.get(")" if bracket == "(" else "]")
        elif name := token["name"]:
            if token["edge"] == "end":
                anywhere["end " + name] = index
            else:
                closers[index] = anywhere.get("end " + name)
        elif token["brace"] == "}":
            braces.append(index)
        elif token["box"] or token["brace"]:
            closer = braces.pop() if braces else None
            closers[index] = closer if token["box"] else None
        elif token["blank"]:
            inline.clear()
            braces.clear()
    return closers


def classify_words(text: str) -> list[Word]:
    """The words of a text outside code and formulae, in order, each with its label.

    >>> [(word.text, word.label) for word in classify_words("We add cm. \u6240\u4ee5 x")]
    [('We', 'en'), ('add', 'en'), ('cm', 'symbol'), ('\u6240\u4ee5', 'han'), ('x', 'symbol')]
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    for match in _TOKEN.finditer(prose(text).translate(_INVISIBLE)):
        kind = match.lastgroup or ""
        if kind != "stop":
            sentences[-1].append((_kind(kind, match.group()), match.group()))
        elif sentences[-1]:
            sentences.append([])
    votes = [_english_votes(sentence) for sentence in sentences]
    text_vote = sum(votes)
    return [
        word
        for sentence, vote in zip(sentences, votes, strict=True)
        for word in _labelled(sentence, is_english=(vote or text_vote) >= 0)
    ]


def _kind(kind: str, word: str) -> str:
    """The script of a word, or ``symbol`` for what is none: one letter, a unit, an abbreviation, a camelCase name."""
    if kind in _UNSPACED or kind == "hangul":
        return kind
    if len(word) == 1 or (kind in ("greek", "mixed") and len(word) <= 2):
        return "symbol"
    if kind == "latin" and (word in _SYMBOLS or (word.isupper() and len(word) <= 4) or _is_camel_case(word)):
        return "symbol"
    return kind


def _is_camel_case(word: str) -> bool:
    return word[0].islower() and not word.islower() and word.isascii()


def _english_votes(sentence: list[tuple[str, str]]) -> int:
    """Above 0 for English, below for another language in Latin letters, 0 where nothing tells. Small words with
    accents speak against English; names (``Poincar\u00e9``) do not."""
    votes = 0
    for kind, word in sentence:
        if kind == "latin":
            lower = word.lower().replace("\u2019", "'")
            if lower in _ENGLISH:
                votes += 1
            elif lower in _FOREIGN or (word[0].islower() and not word.replace("\u2019", "'").isascii()):
                votes -= 1
    return votes


def _labelled(sentence: list[tuple[str, str]], *, is_english: bool) -> list[Word]:
    """The words of one sentence. Chinese characters in a sentence with kana are Japanese."""
    num_kana = sum(len(word) for kind, word in sentence if kind == "kana")
    num_han = sum(len(word) for kind, word in sentence if kind == "han")
    chinese = "ja" if num_kana * 8 > num_han else "zh" if num_han > _SHORT_HAN else "han"
    names = {"latin": "en" if is_english else "latin", "han": chinese, "kana": "ja"}
    return [Word(word, names.get(kind, kind), _size(kind, word)) for kind, word in sentence]


def _size(kind: str, word: str) -> float:
    if kind == "symbol":
        return 0.0
    return len(word) * _UNSPACED[kind][1] if kind in _UNSPACED else 1.0
