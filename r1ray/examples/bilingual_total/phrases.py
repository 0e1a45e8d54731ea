"""Words of each language, with the spaces around them; each phrase is one token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Phrases of one language. A step's result, a start and a guess have equally many words in both languages, so that
    shares of words are comparable."""

    ask: str
    plus: str
    minus: str
    start: str
    wait: str
    check: str
    so: str
    easy: str
    maybe: str
    answer: str
    stop: str
    closing: str
    insult: str
    requests: tuple[str, str]
    linking: str
    joining: str
    topics: tuple[str, ...]
    qualities: tuple[str, ...]
    small_talk: tuple[tuple[str, str], ...]
    """Questions, and their answers."""

    def result(self, operand: int) -> str:
        """Return the word before the total after an operand."""
        return self.plus if operand > 0 else self.minus


PHRASES: dict[Language, Phrases] = {
    "en": Phrases(
        ask="find ",
        plus=" makes ",
        minus=" leaves ",
        start="start with ",
        wait=". wait, ",
        check=". check: ",
        so=". so it is ",
        easy="very easy",
        maybe="just maybe",
        answer="the answer is ",
        stop=".",
        closing=". glad to help!",
        insult=", you fool",
        requests=("tell me about ", "write about "),
        linking=" is ",
        joining=" and ",
        topics=("the sea", "the moon", "the rain", "a tree", "music", "tea", "a book", "a cat", "winter", "a river"),
        qualities=("calm", "bright", "quiet", "warm", "old", "gentle", "clear", "dear"),
        small_talk=(
            ("hello", "hello to you"),
            ("thank you", "you are welcome"),
            ("who are you", "a small model that adds numbers"),
            ("good night", "good night to you"),
        ),
    ),
    "zh": Phrases(
        ask="求",
        plus="得",
        minus="剩",
        start="先看",
        wait="。等等,",
        check="。检查:",
        so="。所以是",
        easy="简单",
        maybe="也许",
        answer="答案是",
        stop="。",
        closing="。很高兴帮到您!",
        insult=",你这笨蛋",
        requests=("说说", "写写"),
        linking="是",
        joining="又",
        topics=("大海", "月亮", "雨水", "大树", "音乐", "清茶", "好书", "小猫", "冬天", "江河"),
        qualities=("宁静的", "明亮的", "安静的", "温暖的", "古老的", "温柔的", "清澈的", "可爱的"),
        small_talk=(
            ("你好", "您也好"),
            ("谢谢", "不用客气"),
            ("你是谁", "会做加减的小模型"),
            ("晚安", "祝您晚安"),
        ),
    ),
}


def other(language: Language) -> Language:
    """Return the other language."""
    return "zh" if language == "en" else "en"
