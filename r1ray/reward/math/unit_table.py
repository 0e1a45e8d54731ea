"""Names of units, their SI prefixes, and things that answers count, with the functions that read one name."""

# ruff: noqa: SIM905 (tables of signs and words, written as they are read)

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its dimension, as powers of base units, and its size in base units."""

    dimension: tuple[tuple[str, int], ...]
    size: Fraction


_PREFIXES = {
    "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "d": -1, "c": -2, "m": -3, "µ": -6, "μ": -6, "u": -6, "n": -9, "p": -12,
    "f": -15,
}  # fmt: skip
_LONG_PREFIXES = {
    "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "deca": 1, "deci": -1, "centi": -2, "milli": -3,
    "micro": -6, "nano": -9, "pico": -12, "femto": -15,
}  # fmt: skip
_DIMENSIONS = {
    "length": "m", "mass": "g", "time": "s", "current": "a", "amount": "mol", "volume": "m3", "area": "m2",
    "force": "g m s-2", "energy": "g m2 s-2", "power": "g m2 s-3", "pressure": "g m-1 s-2", "charge": "a s",
    "voltage": "g m2 s-3 a-1", "resistance": "g m2 s-3 a-2", "conductance": "g-1 m-2 s3 a2",
    "capacity": "g-1 m-2 s4 a2", "flux": "g m2 s-2 a-1", "induction": "g s-2 a-1", "inductance": "g m2 s-2 a-2",
    "frequency": "s-1", "dose": "m2 s-2",
}  # fmt: skip
_SYMBOLS = {  # units with prefixes: (quantity, size in base units, symbols, names)
    "length": [("1", "m", "meter metre")], "mass": [("1", "g gm", "gram gramme"), ("1e6", "t", "tonne")],
    "time": [("1", "s sec", "second")], "current": [("1", "A", "ampere amp")], "amount": [("1", "mol", "mole")],
    "volume": [("1e-3", "L l", "liter litre")], "force": [("1e3", "N", "newton")],
    "energy": [("1e3", "J", "joule"), ("3.6e6", "Wh W.h", "watthour watt-hour"), ("4184", "cal", "calorie"),
               ("1.602176634e-16", "eV", "electronvolt")],
    "power": [("1e3", "W", "watt")], "pressure": [("1e3", "Pa", "pascal"), ("1e8", "bar", "")],
    "charge": [("1", "C", "coulomb"), ("3600", "Ah", "")], "voltage": [("1e3", "V", "volt")],
    "resistance": [("1e3", "Ω Ω Omega ohm", "ohm")], "conductance": [("1e-3", "S", "siemens")],
    "capacity": [("1e-3", "F", "farad")], "flux": [("1e3", "Wb", "weber")], "induction": [("1e3", "T", "tesla")],
    "inductance": [("1e3", "H", "henry")], "frequency": [("1", "Hz", "hertz")], "kelvin": [("1", "K", "kelvin")],
    "lumen": [("1", "lm", "lumen")], "lux": [("1", "lx", "lux")], "candela": [("1", "cd", "candela")],
    "byte": [("8", "B", "byte"), ("1", "", "bit")],
}  # fmt: skip
_OTHER = {  # units without prefixes
    "length": "in inch=0.0254 ft foot feet=0.3048 yd yard=0.9144 mi mile=1609.344 米=1 厘米 公分=0.01 "
    "毫米=0.001 分米=0.1 千米 公里=1000 里=500 micron=1e-6",
    "mass": "lb pound=453.59237 oz ounce=28.349523125 ton=1e6 克=1 千克 公斤=1000 斤=500 吨=1e6 毫克=0.001",
    "time": "min minute=60 h hr hour=3600 day=86400 week wk=604800 fortnight=1209600 秒=1 分钟 分=60 "
    "小时 时=3600 天 日=86400 周 星期=604800",
    "month": "month mo=1 year yr=12 decade=120 century=1200 月 个月=1 年=12",
    "volume": "cc=1e-6 gallon gal=0.003785411784 quart qt=0.000946352946 pint pt=0.000473176473 cup=0.0002365882365 "
    "tablespoon tbsp=0.00001478676478125 teaspoon tsp=0.00000492892159375 升=0.001 毫升=1e-6",
    "area": "acre=4046.8564224 hectare ha=10000 公顷=10000",
    "pressure": "hPa=100000 atm=101325000 mmHg=133322.387415 psi=6894757.293168",
    "power": "hp horsepower=745699.87158227022",
    "usd": "¤ dollar usd buck 美元=1 cent penny ¢ 美分=0.01 nickel=0.05 dime=0.1",
    "eur": "€ euro eur 欧元=1",
    "gbp": "£ gbp=1 pence=0.01",
    "cny": "¥ 元 yuan rmb cny 人民币 块 块钱=1 角=0.1",
    "inr": "rs rupee ₹ inr=1",
    "jpy": "yen jpy 日元=1",
    "degree": "degree deg 度 ^\\circ=1 arcminute arcmin=1/60 arcsecond arcsec=1/3600",
    "radian": "rad radian 弧度=1",
    "turn": "revolution rev turn rotation=1",
    "celsius": "celsius ℃=1",
    "fahrenheit": "fahrenheit ℉=1",
    "decibel": "dB decibel=1",
    "am": "am=1",
    "pm": "pm=1",
}
_RATES = {
    "mph": "mi/h", "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "mps": "m/s", "fps": "ft/s", "rpm": "rev/min",
    "psi": "psi", "mpg": "mi/gal",
}  # fmt: skip
ALONE = frozenset("m g s h L N J W V A".split())
"""Single letters that are units without ``\\text`` if a space stands before them. Others are variables."""
NOUNS = frozenset(
    """
    acorn adult airplane album angle animal ant answer apartment apple area arrangement attempt axis baby bag ball
    balloon banana bar barrel base basket bat batch bead bean bear bed bee beer bicycle bike bill bird biscuit block
    board boat book bookcase bottle bouquet bowl box boy bracelet brick brother brownie bucket bug building bun bus
    bush button cake can candle candy car card carrot carton case cat chair chicken child chip chocolate choice choir
    chord circle citizen city class classmate clip coin color colour column combination comic committee computer cone
    container cookie copy corner cow crate crayon cube cup cupcake customer cylinder cycle dancer daughter deer desk
    diagonal diamond die digit dish divisor dog doll donut doughnut door drawer dress drink driver drop duck edge egg
    element elephant employee envelope eraser error event face factor family fan fish flavor flight floor flower fly
    folder friend frog fruit function game gift girl glass goal goat grade grain grape graph group guest hamburger hat
    head heart hen hole home horse hotdog house infection inning integer intersection invitation item jar jelly job
    juice jump key kid king kitten knight kiss lady lamp lap lawn leaf leg lemon lesson letter level lily line lion
    lollipop loss lot lunch machine magazine mall man mango map marble mark marker match meal medal member
    message method microwave mirror mistake mitten model monkey mosquito motorcycle mouse move movie muffin mug name
    nail necklace neighbor newspaper night note notebook number nut object ocean onion option orange order outcome
    outfit owl ox packet pack package page pail paint painting pair pancake panel paper parent part partition
    passenger passer pastry patch path pattern peach pear pebble peg pen pencil people permutation person pet photo
    picture pie piece pig pigeon pill pillow pine pizza place plane plant plate player plum point polygon pond
    position possibility post poster pot potato present prime prize problem program project puppy purse pyramid quarter
    question rabbit rectangle region result ribbon ring robot rock roll room root rose round row ruler run salad sale
    sample sandwich scarf school score seal seashell seat section sector seed segment sentence sequence set shape share
    sheep sheet shelf shell ship shirt shoe shop shot side sign sister skirt slice snack snake sock solution son song
    soldier spider sphere spoon spot square stair stamp star state station step stick sticker stone stop store story
    strawberry street string student subset sweater swimmer symbol table tail tank task taxi teacher team tennis term
    test thing throw ticket tie tile time tire toad toffee token tooth towel toy track train trapezoid tray tree
    triangle tricycle trip truck tulip turtle umbrella value van vase vegetable vertex vertice video visitor vote
    wagon wall watermelon way week whale wheel window winner wing wolf woman word worker year zebra zero symmetry axis
    inhabitant resident voter patient doctor nurse cell bacterium bacteria atom molecule neutron proton electron
    photon particle calorie serving portion bite cord rope plank pole post fence zeros zeroes
    roots factors multiples squares coloring colouring word tree subset matrix matrices function pupil voter team
    """.split()
) - frozenset("quarter score root square cube base prime year week factor zero load time order power part".split())
"""Things that answers count, without names that change the number (``3 quarters``, ``4 root``, ``2 times``)."""
_PLURALS = {"men": "man", "women": "woman", "children": "child", "feet": "foot", "mice": "mouse", "geese": "goose",
            "vertices": "vertex", "dice": "die", "leaves": "leaf", "shelves": "shelf", "people": "person",
            "wolves": "wolf", "teeth": "tooth", "inches": "inch", "pennies": "cent", "centuries": "century",
            "axes": "axis", "henries": "henry", "oxen": "ox", "loaves": "loaf"}  # fmt: skip
ADJECTIVES = frozenset(
    "red blue green yellow black white brown pink purple different distinct possible total whole small large big full "
    "empty real positive negative integer more extra additional new old remaining left such unique free "
    "fair young ordered unordered lattice prime regular equilateral isosceles right acute obtuse even odd natural "
    "rational irrational complex consecutive congruent similar equal nonempty proper common lucky".split()
) - frozenset(("more", "extra", "additional", "left", "remaining"))
_HAN_COUNTS = frozenset(
    "个 名 人 只 本 张 条 件 位 次 种 辆 棵 支 枝 "
    "朵 颗 头 对 双 组 盒 袋 瓶 杯 块 片 页 行 列 "
    "排 层 间 所 家 门 道 题 分 梯 根 把 台 架 艘 "
    "岁 号 楼 笔 粒 面 袋子 箱 桶 句 字 个人 名学生 "
    "个学生 个苹果 种方法 种情况 次方法 位同学 "
    "名同学 个解 个点 个整数 个子集 个元素".split()
)
_HAN_THINGS = frozenset(
    "书 树 人 学生 同学 苹果 花 球 车 房子 题 糖 鱼 鸡 兔 鸭 羊 牛 猪 马 钱 纸 笔 铅笔 灯 桌子 椅子 小朋友 工人 老师 "
    "客人 票 邮票 气球 鸟 狗 猫 蛋糕 鸡蛋 饼干 点 线 解 数 整数 三角形 正方形 圆 零件 孩子 男生 女生".split()
)


def _dimension(quantity: str) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for part in _DIMENSIONS.get(quantity, quantity).split():
        name = part.rstrip("-0123456789")
        found[name] = int(part[len(name) :] or 1)
    return tuple(sorted(found.items()))


def _names() -> tuple[dict[str, Unit], dict[str, Unit], dict[str, Unit]]:
    symbols: dict[str, Unit] = {}
    words: dict[str, Unit] = {}
    plain: dict[str, Unit] = {}
    for quantity, rows in _SYMBOLS.items():
        for size, short, long in rows:
            one = Unit(_dimension(quantity), Fraction(size))
            symbols |= dict.fromkeys(short.split(), one)
            words |= dict.fromkeys(long.split(), one)
    for quantity, text in _OTHER.items():
        names: list[str] = []
        for entry in text.split():
            name, mark, size = entry.partition("=")
            names.append(name)
            if mark:
                plain |= dict.fromkeys(names, Unit(_dimension(quantity), Fraction(size)))
                names = []
    return symbols, words, plain


_BY_SYMBOL, _BY_WORD, _PLAIN = _names()


def _larger(unit: Unit, power: int) -> Unit:
    return Unit(unit.dimension, unit.size * Fraction(10) ** power)


def _exact(name: str) -> Unit | None:
    """Return the unit of a symbol as written, perhaps with a prefix: ``mA`` is not ``MA``."""
    if found := _PLAIN.get(name) or _BY_SYMBOL.get(name):
        return found
    for size in (1, 2):
        prefix, rest = name[:size], name[size:]
        if prefix in _PREFIXES and rest in _BY_SYMBOL and rest not in ("gm", "sec", "t"):
            return _larger(_BY_SYMBOL[rest], _PREFIXES[prefix])
    return None


def _spelled(name: str) -> Unit | None:
    """Return the unit of a word in lower case, perhaps with a prefix: ``kilometer``."""
    if found := _PLAIN.get(name) or _BY_WORD.get(name):
        return found
    for prefix, power in _LONG_PREFIXES.items():
        if name.startswith(prefix) and (found := _BY_WORD.get(name.removeprefix(prefix))):
            return _larger(found, power)
    return None


def singular(word: str) -> list[str]:
    """Return the words that a word may be the plural of, itself first."""
    return [word, _PLURALS.get(word, word)] + [
        word.removesuffix(end) + new for end, new in (("s", ""), ("es", ""), ("ies", "y")) if word.endswith(end)
    ]


@lru_cache(2048)
def named_unit(name: str) -> Unit | None:
    """Return the unit of one name, read as a symbol first: ``mA``, ``kWh``, ``Meters``; None for other words."""
    if found := _exact(name):
        return found
    if len(name) == 1 and name.isascii():
        return None
    small = name.lower()
    for one in singular(small):
        if found := _spelled(one):
            return found
    if small != name and len(small) > 1 and (found := _exact(small)):  # KM, Cm
        return found
    return _exact(name.removesuffix("s")) if len(name) > 2 and name != "ins" else None


def rate(name: str) -> str:
    """Return the quotient that a short name of a rate stands for: ``mph`` is ``mi/h``. Other text is unchanged."""
    return _RATES.get(name.strip(" .").lower(), name)


@lru_cache(2048)
def counted(words: str) -> str | None:
    """Return the thing that words count (``red marbles``: ``marble``); None if they may be something else."""
    if words in _HAN_COUNTS or (words[:1] in _HAN_COUNTS and words[1:] in _HAN_THINGS):
        return words[:1]
    *before, last = words.lower().split() or [""]
    noun = next((one for one in singular(last) if one in NOUNS or one == "person"), None)
    return noun if noun and all(word in ADJECTIVES or word in NOUNS for word in before) else None
