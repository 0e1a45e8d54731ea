# ruff: noqa: RUF001  (full-width punctuation and look-alike letters are what is tested)
from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.data.prompt_language import LABEL_OF_LANGUAGE
from r1ray.data.prose import prose
from r1ray.errors import UnscorableError
from r1ray.reward.language import (
    classify_words,
    language_consistency,
    language_problem,
    language_share,
)
from r1ray.types import Prompt, Response
from tests.fakes import make_prompt
from tests.growth import assert_linear

DATA = Path(__file__).parent / "data"
ROWS = [json.loads(line) for line in (DATA / "language.jsonl").read_text(encoding="utf-8").splitlines()]
ENGLISH = "We add the numbers and check the result."
CHINESE = "我们先把两个数相加得到十二。"
LANGUAGES = st.sampled_from(sorted(LABEL_OF_LANGUAGE))
PIECES = st.sampled_from(
    [
        *(ENGLISH, CHINESE, "x = 5", "Wir addieren.", "число", "です", "the ", "好", "\u200b", " ", "\n", "\n\n"),
        *("$", "$$", "`", "```", "~~~", "\\(", "\\)", "{", "}", "\\", "\\boxed{", "\\begin{a}", "\\end{a}"),
        *("<think>", "</think>"),
    ]
)
TEXTS = st.text(max_size=200) | st.lists(PIECES, max_size=40).map("".join)


def prompt_in(language: str, *, text: str = "question") -> Prompt:
    return replace(make_prompt(), language=language, text=text)


def reward(text: str, language: str, *, prompt: str = "question") -> float:
    value = language_consistency(prompt_in(language, text=prompt), Response(text, finished=True))
    assert isinstance(value, float)
    return value


def naive_share(text: str) -> float:
    """What the hacks below are meant for: the share of words that are all ASCII letters."""
    words = text.split()
    return sum(bool(re.search("[A-Za-z]", word)) for word in words) / max(len(words), 1)


def test_the_set_is_measured_as_well_as_its_document_says() -> None:
    stated = re.search(r"(\d+) of (\d+) rows", (DATA / "README.md").read_text(encoding="utf-8"))
    assert stated is not None and int(stated[2]) == len(ROWS) >= 150
    errors = [abs(language_share(row["text"], row["language"]) - row["share"]) for row in ROWS]
    assert sum(error <= 0.05 for error in errors) >= int(stated[1])
    assert sum(errors) / len(errors) <= 0.0016


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in ROWS}))
def test_no_kind_of_the_set_is_measured_badly(kind: str) -> None:
    errors = [abs(language_share(r["text"], r["language"]) - r["share"]) for r in ROWS if r["kind"] == kind]
    assert sum(error <= 0.05 for error in errors) / len(errors) >= 0.95


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (f"<think>{ENGLISH}</think><answer>{CHINESE}</answer>", 1.0),
        (f"<think>{CHINESE}</think><answer>{ENGLISH}</answer>", 0.0),
        (f"<think>{ENGLISH}", 1.0),
        (f"{ENGLISH}", 0.0),
        (f"<answer>{ENGLISH}</answer>", 0.0),
        ("", 0.0),
        ("<think></think><answer>4</answer>", 0.0),
        (f"<think>{ENGLISH}</think>{CHINESE}</think><answer>4</answer>", 8 / 21),
        (f"<think>{ENGLISH}</think>{CHINESE}<answer>4</answer>", 8 / 21),
        (f"<think>{ENGLISH}</think><answer>4</answer>{CHINESE}", 8 / 21),
        (f"{CHINESE}<think>{ENGLISH}</think><answer>4</answer>", 8 / 21),
        (f"<think>{ENGLISH}</think><answer>{CHINESE}</answer><answer>4</answer>", 8 / 21),
        (f"<think>{ENGLISH}</think>{CHINESE}", 8 / 21),
        (f"<|reasoning|>{ENGLISH}<|reasoning|>{CHINESE}", 1.0),
        (f"<|reasoning|>{CHINESE}<|reasoning|>{ENGLISH}", 0.0),
    ],
)
def test_all_but_the_answer_counts(text: str, share: float) -> None:
    assert reward(text, "en") == pytest.approx(share)


@pytest.mark.parametrize(("opening", "closing"), [("<think>", "</think>"), ("<|reasoning|>", "<|reasoning|>")])
def test_the_template_may_open_the_reasoning(opening: str, closing: str) -> None:
    template = f"User: q\nAssistant: {opening}\n"
    assert reward(f"{ENGLISH}{closing}<answer>{CHINESE}</answer>", "en", prompt=template) == 1.0
    assert reward(f"{CHINESE}{closing}<answer>{ENGLISH}</answer>", "en", prompt=template) == 0.0
    assert reward(ENGLISH, "en", prompt=template) == 1.0


def test_a_chinese_character_counts_like_an_english_word() -> None:
    assert language_share("two plain words 三个字", "zh") == pytest.approx(0.5)


def test_chinese_is_simplified_or_traditional_and_not_japanese() -> None:
    traditional = "這個三角形有一個直角因此可以用畢氏定理。"
    japanese = "この三角形は直角を持つのでピタゴラスの定理が使えます。"
    assert language_share(traditional, "zh-TW") == language_share(traditional, "zh") == 1.0
    assert language_share(japanese, "ja") == 1.0
    assert language_share(japanese, "zh") == language_share(traditional, "ja") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "所以 x 等于 5 cm，速度是 60 km/h。",
        "在三角形 ABC 中，sin A 等于 0.5。",
        "因此 $\\text{total} = 4$，\\(\\gcd(a,b)\\) 是 \\boxed{four}。",
        "变量 num_apples 和 x1 与 maxValue 相等。",
        "调用 `sorted(numbers)`，参见 https://example.org/page 的说明。",
        "结果：\\[ \\frac{1}{2} \\]\n\n$$\nx = words here\n$$\n完毕。",
        "<answer> 五 </answer>",
    ],
)
def test_symbols_in_chinese_reasoning_do_not_count_against_it(text: str) -> None:
    assert language_share(text, "zh") == 1.0


def test_english_words_in_chinese_reasoning_do_count_against_it() -> None:
    assert language_share("所以我们 simplify the expression 然后代入", "zh") == pytest.approx(8 / 11)


@pytest.mark.parametrize(
    "text",
    [
        "The ticket costs $5, the snack $10 and together $15.",
        "The naïve idea of Poincaré and Gödel is due to Dan, who met a van per hour.",
        "Simplify. Then a = 4.",
        "Don\u2019t worry, it\u2019s fine.",
        "a {stray } brace, a ` tick and \\( an opening",
    ],
)
def test_english_with_prices_names_and_stray_marks_is_english(text: str) -> None:
    assert language_share(text, "en") == 1.0
    assert sum(word.size for word in classify_words(text)) >= 2


@pytest.mark.parametrize(
    "text",
    [
        "Nous avons donc deux nombres et la somme est paire.",
        "Wir addieren die Zahlen und prüfen das Ergebnis.",
        "Sumamos los números y comprobamos el resultado.",
        "Chúng ta cộng hai số lại.",
    ],
)
def test_another_language_in_latin_letters_is_not_english(text: str) -> None:
    assert language_share(text, "en") == 0.0
    assert language_share(f"{text} {ENGLISH}", "en") == pytest.approx(8 / (8 + len(classify_words(text))), abs=0.06)


@pytest.mark.parametrize(
    "reasoning",
    [
        "",
        " \n",
        "\u200b\u200b\ufeff",
        "...!?",
        "2 + 2 = 4",
        "x = y + z",
        "$a^2$ \\boxed{4}",
        "\u3164\u3164",
        "→ ∴ ∎ 🙂",
        "sin x",
    ],
)
@pytest.mark.parametrize("language", ["en", "zh", "ko"])
def test_reasoning_without_words_earns_nothing(reasoning: str, language: str) -> None:
    assert reward(f"<think>{reasoning}</think><answer>4</answer>", language) == 0.0


PROMPTS = [json.loads(line) for line in (DATA / "languages.jsonl").read_text(encoding="utf-8").splitlines()]
TWELVE = sorted({row["language"] for row in PROMPTS})
LATIN = ("en", "de", "fr", "es", "pt", "fi")


def mixed_texts(target: str) -> list[tuple[str, float]]:
    """Texts of three sentences and more of the target and of another language, and the target's share of words."""
    draw = random.Random(target)
    of = {language: [row["text"] for row in PROMPTS if row["language"] == language] for language in TWELVE}
    texts = []
    for _ in range(30):
        other = draw.choice([language for language in TWELVE if language != target])
        parts = [(1, text) for text in draw.sample(of[target], draw.randint(1, 4))]
        parts += [(0, text) for text in draw.sample(of[other], draw.randint(3 - min(len(parts), 3), 4))]
        draw.shuffle(parts)
        sizes = [sum(word.size for word in classify_words(text)) for _, text in parts]
        on_target = sum(size for size, (is_target, _) in zip(sizes, parts, strict=True) if is_target)
        texts.append((" ".join(text for _, text in parts), on_target / sum(sizes)))
    return texts


@pytest.mark.parametrize("target", TWELVE)
def test_the_share_of_mixed_texts_is_within_a_tenth_of_their_label(target: str) -> None:
    for text, share in mixed_texts(target):
        assert language_share(text, target) == pytest.approx(share, abs=0.1), text


@pytest.mark.parametrize("target", LATIN)
def test_a_text_is_paid_in_its_own_language_alone(target: str) -> None:
    for row in PROMPTS:
        if row["language"] in LATIN and row["kind"] == "two":
            share = language_share(row["text"], target)
            assert share == float(row["language"] == target), row["text"]


DRAW = random.Random(0)
WORTHLESS = {
    "keyboard": "asdf qwer zxcv hjkl uiop asdf jkl qwerty zxcvb poiuy lkjhg mnbvc wertyu sdfghj",
    "random letters": " ".join("".join(DRAW.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(60)),
    "random syllables": " ".join(f"{DRAW.choice('bdfglmnprst')}{DRAW.choice('aeiou')}" * 2 for _ in range(60)),
    "invented words": "blorf snik the glarb of frand and the wuzzle to grimp in a flun with the dorp",
    "invented words, few": "blorf snik the glarb of frand",
    "syllables": "la la la lo lo li ba be bo la ba lo li la be ba bo",
    "syllables without spaces": "lalalala bababa dadada tatata mamamama papapa",
    "one word": "Okay.",
    "one word again": "the " * 400,
    "two words again": "the and " * 400,
    "one sentence again": "We add the numbers. " * 100,
    "Latin": "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae, aliam Aquitani.",
    "Lorem ipsum": "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore",
    "Swahili": "Tunajumlisha namba mbili na kupata jibu. Kisha tunagawanya kwa tatu na kuangalia kama ni sahihi.",
    "Italian": "Sommiamo i due numeri e controlliamo il risultato. Poi dividiamo per tre.",
    "Dutch": "We tellen de getallen op en controleren het antwoord. Daarna delen we door drie.",
    "Swedish": "Vi adderar talen och kontrollerar resultatet. Sedan delar vi med tre.",
    "Polish": "Dodajemy obie liczby i sprawdzamy wynik. Potem dzielimy przez trzy.",
    "Turkish": "İki sayıyı topluyoruz ve sonucu kontrol ediyoruz. Sonra üçe bölüyoruz.",
    "Indonesian": "Kita menjumlahkan kedua bilangan dan memeriksa hasilnya. Kemudian kita membagi dengan tiga.",
    "pinyin": "women xian ba san he si xiang jia, dedao qi, ranhou zai jiancha yi bian, jieguo meiyou wenti",
    "Japanese in Latin letters": "mazu futatsu no kazu wo tashimasu. sore kara kotae wo kakunin shimasu.",
    "Russian in Latin letters": "snachala my slozhim dva chisla. zatem proverim otvet i razdelim na tri.",
    "Hindi in Latin letters": "pehle hum dono sankhyaon ko jodte hain. phir hum uttar ki jaanch karte hain.",
    "Vietnamese without marks": "chung ta cong hai so lai va kiem tra ket qua sau do chia cho ba",
}


@pytest.mark.parametrize("target", LATIN)
@pytest.mark.parametrize("name", WORTHLESS)
def test_what_is_no_text_of_the_target_is_paid_next_to_nothing(name: str, target: str) -> None:
    assert reward(f"<think>{WORTHLESS[name]}</think><answer>4</answer>", target) <= 0.1


@pytest.mark.parametrize("target", TWELVE)
def test_words_copied_from_the_prompt_are_paid_next_to_nothing(target: str) -> None:
    question = " ".join(row["text"] for row in PROMPTS if row["language"] == target and row["kind"] == "two")
    own = next(row["text"] for row in PROMPTS if row["language"] == target and row["kind"] == "short")
    assert reward(f"<think>{question}</think>", target, prompt=f"User: {question} Assistant:") <= 0.1
    assert reward(f"<think>{question[:60]} {own}</think>", target, prompt="User: ... Assistant:") == 1.0


def test_short_lines_are_judged_with_their_neighbours() -> None:
    lines = "OK.\nSo 2x = 6.\nWait, no.\nThen a = 4.\nSimplify.\nHmm, factor it.\nDone."
    assert language_share(lines, "en") == 1.0


HACKS = {
    "filler": "the " * 400,
    "filler_beside_other_language": "the " * 400 + CHINESE * 3,
    "hidden_in_a_block": f"```\n{ENGLISH}\n```\n{CHINESE}",
    "hidden_in_ticks": f"`{ENGLISH}` {CHINESE}",
    "look_alikes": "Wе аdd thе numbеrs",
    "look_alike_words": "the сосо ахес рор",
}


@pytest.mark.parametrize("name", HACKS)
def test_a_hack_that_a_naive_share_pays_earns_little(name: str) -> None:
    assert naive_share(HACKS[name]) >= 0.25
    assert language_share(HACKS[name], "en") <= 0.25


def test_zero_width_characters_inside_words_change_nothing() -> None:
    assert language_share("We\u200b ad\u200bd num\u200bbers 我\u200b们", "en") == language_share(
        "We add numbers 我们", "en"
    )


@pytest.mark.parametrize(("first", "again", "language"), [(ENGLISH, CHINESE, "en"), (CHINESE, ENGLISH, "zh")])
def test_another_language_said_again_and_again_counts_as_it_stands(first: str, again: str, language: str) -> None:
    assert language_share(f"{first}\n{again * 20}", language) <= 0.1
    assert reward(f"<think>{first}</think><answer>4</answer>\n{again * 20}", language) <= 0.1
    assert language_share(f"{first}\n{again}", language) == pytest.approx(0.5, abs=0.15)


def test_words_said_twice_and_lists_of_steps_are_no_filler() -> None:
    assert language_share("We know that that that is very very good.", "en") == 1.0
    assert language_share("so 3 + 4 = 7, so 7 + 2 = 9, so 9 + 1 = 10, so 10 + 5 = 15, so $x$ so $y$", "en") == 1.0
    assert language_share("慢慢来，天天看看。", "zh") == 1.0


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a ```b``` c", "a  0  c"),
        ("a\n```py\nb\n```\nc", "a\n 0 \nc"),
        ("a\n```py\nb", "a\n 0 "),
        ("a `b", "a `b"),
        ("`a\n\nb`", "`a\n\nb`"),
        ("$5 and $6", "$5 and $6"),
        ("$5 and $x$", "$5 and  0 "),
        ("a \\$5 $b$", "a \\$5  0 "),
        ("\\begin{a} b \\begin{c} \\end{a} d", " 0  d"),
        ("\\boxed{a {b} c} d", " 0  d"),
        ("\\boxed{a", "\\boxed{a"),
        ("$$a$$ b $$c", " 0  b $$c"),
    ],
)
def test_what_is_code_or_a_formula(text: str, left: str) -> None:
    assert prose(text) == left


@pytest.mark.parametrize(
    "language", ["en", "en-US", "EN", "zh", "zh_CN", "zh-Hant-TW", "ja", "ko", "ru", "ar", "hi", "th"]
)
def test_languages_of_their_own_script_can_be_targets(language: str) -> None:
    assert language_problem(language) is None


@pytest.mark.parametrize("language", ["fr", "de-AT", "pt_BR", "vi", "nb", "fi"])
def test_languages_in_latin_letters_can_be_targets(language: str) -> None:
    assert language_problem(language) is None


@pytest.mark.parametrize("language", ["", "xx", "english", "zxx"])
def test_other_languages_are_refused_with_the_list_of_those_that_can(language: str) -> None:
    problem = language_problem(language)
    assert problem is not None and repr(language) in problem and "en, " in problem
    with pytest.raises(UnscorableError):
        reward(f"<think>{ENGLISH}</think>", language)


@settings(deadline=None)
@given(TEXTS, LANGUAGES)
def test_the_share_is_between_0_and_1(text: str, language: str) -> None:
    assert 0.0 <= language_share(text, language) <= 1.0


@settings(deadline=None, max_examples=50)
@given(
    # No line twice: a code block ends what is said more than twice in a row.
    st.lists(st.sampled_from([ENGLISH, CHINESE, "x = 5", "Сложим числа.", "$y$"]), min_size=1, unique=True),
    st.integers(0, 5),
    st.text(alphabet="abc 好\n$`{", max_size=40).filter(lambda code: "```" not in code),
    LANGUAGES,
)
def test_a_code_block_between_paragraphs_changes_nothing(lines: list[str], at: int, code: str, language: str) -> None:
    with_code = [*lines[:at], f"```python\n{code}\n```", *lines[at:]]
    assert language_share("\n\n".join(with_code), language) == language_share("\n\n".join(lines), language)


HOSTILE: dict[str, tuple[Callable[[int], str], int]] = {
    "fences": (lambda size: "```python\n" * size, 10**5),
    "dollars": (lambda size: "$a " * size, 10**5),
    "ticks": (lambda size: "".join("`" * n + " " for n in range(math.isqrt(2 * size))), 245_000),
    "boxes": (lambda size: "\\boxed{" * size, 10**5),
    "environments": (lambda size: "".join(f"\\begin{{a{'b' * (n % 20)}}}" for n in range(size)), 30_000),
    "tags": (lambda size: "<think>" * size, 10**5),
    "apostrophes": (lambda size: "a'" * size + "Я", 10**5),
    "scripts": (lambda size: "a" * size + "Я", 10**6),
    "characters": (lambda size: "好" * size, 10**6),
    "marks": (lambda size: "a" + "\u0301" * size, 10**6),
    "digits": (lambda size: "1," * size, 10**5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_linear_in_hostile_text(name: str) -> None:
    def work(text: str) -> None:
        assert reward(f"<think>{text}</think>", "en") <= 1.0

    assert_linear(work, *HOSTILE[name])
