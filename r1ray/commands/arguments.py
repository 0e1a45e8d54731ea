"""Parser of a command's arguments: flags say what a command does with its output, all else are the command's words.

r1ray plan algo.group_size=8 --json learner.lr=1e-6  ->  words=["algo.group_size=8", "learner.lr=1e-6"], json=True
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import NoReturn

from r1ray.commands.hints import for_flag
from r1ray.commands.key_lines import section_lines
from r1ray.config.keys import Section
from r1ray.errors import UserError

OVERRIDES = "overrides of the configuration, as Hydra has them: algo.group_size=8, learner.lr=1e-6, +key=1, ~key"

CONFIG_DIR = "a folder of your own with more files to choose from: DIR/recipe/NAME.yaml is recipe=NAME"
KEYS_FOLLOW = "keys, as key=default; r1ray keys PATTERN shows the whole meaning, and the files of groups (algo, ...):"


class Parser(argparse.ArgumentParser):
    """``argparse`` with mistakes as UserError, and words before, between and after flags."""

    def __init__(
        self,
        verb: str,
        description: str,
        *,
        usage: str,
        word: str = "key=value",
        meaning: str = OVERRIDES,
        examples: str,
        composes: bool = True,
        sections: Callable[[], Sequence[Section]] | None = None,
    ) -> None:
        """Make the parser of ``r1ray VERB``.

        Args:
            usage: what follows the flags in the usage line.
            word: how the list of arguments names a word.
            meaning: of the words.
            examples: one a line.
            composes: the words are overrides of a configuration that is put together from files.
            sections: makes the keys that the command takes, which its help shows; None: it has none.
        """
        super().__init__(
            prog=f"r1ray {verb}",
            description=description,
            epilog="examples:\n" + "".join(f"  {line.strip()}\n" for line in examples.strip().splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,  # argparse ends the process after it; main prints the help
        )
        self._sections = sections
        self.usage = f"{self.prog} [flags] {usage}"
        self.flags = self.add_argument_group("flags")
        self.add_argument_group("arguments").add_argument("words", nargs="*", metavar=word, help=meaning)
        self.flags.add_argument("-h", "--help", action="store_true", help="show this text")
        if composes:
            self.flags.add_argument("--config-dir", metavar="DIR", help=CONFIG_DIR)

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the flags' values, and the other arguments as ``words``, in their order. Raises UserError."""
        given, left = self.parse_known_intermixed_args(arguments)
        if left:
            unknown = next((word for word in left if word.startswith("-")), left[0]).partition("=")[0]
            if hint := for_flag(unknown, self.prog.rpartition(" ")[2]):
                raise UserError(hint)
            near = difflib.get_close_matches(unknown, self._option_string_actions, n=1, cutoff=0.0)
            raise UserError(f"{unknown}: no such flag; the nearest is {near[0]} (see {self.prog} --help).")
        return given

    def format_help(self) -> str:
        """Return the usage, flags, arguments and examples, and after them the keys with their defaults."""
        text = super().format_help()
        if self._sections is None:
            return text
        return f"{text}\n{KEYS_FOLLOW}\n\n{section_lines(self._sections(), whole=False)}"

    def error(self, message: str) -> NoReturn:
        """Called by ``argparse`` for a flag without its value, and for flags that exclude each other."""
        raise UserError(f"{message.removeprefix('argument ')} (see {self.prog} --help).")
