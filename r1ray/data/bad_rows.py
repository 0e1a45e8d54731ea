"""Unusable rows of a source, which are counted, reported (the first few), and refused or left out."""

from __future__ import annotations

import logging

from r1ray.errors import UserError

logger = logging.getLogger(__name__)

MAX_SHOWN = 5


class BadRows:
    """Rows to which ``data.on_bad_row`` applies: they cannot be read, are malformed, or a template refuses them."""

    def __init__(self, named: str, *, on_bad_row: str, key: str = "data.on_bad_row") -> None:
        """
        Args:
            named: name of the source in messages, ``data.train=PATH``.
            on_bad_row: ``refuse`` or ``skip``.
            key: configuration key that holds ``on_bad_row``.
        """
        self._named, self._is_skipped, self._key = named, on_bad_row == "skip", key
        self.count = 0
        self.first: list[str] = []

    def note(self, place: str, reason: object) -> None:
        """Count a row, and keep its place and the reason if it is one of the first."""
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(f"{place}: {reason}".rstrip("."))

    @property
    def is_refused(self) -> bool:
        """Return whether the source will be refused for the rows noted so far."""
        return bool(self.count) and not self._is_skipped

    def settle(self, *, num_others: int) -> None:
        """Refuse the source, or log that rows are left out. Raises UserError, also if no other row is left.

        Args:
            num_others: number of rows that are not bad.
        """
        if not self.count:
            return
        found = f"{self.count} malformed rows of {self.count + num_others}"
        shown = "; ".join(self.first)
        if self.is_refused:
            raise UserError(f"{self._named}: {found}: {shown}. Fix them, or leave them out: {self._key}=skip.")
        if not num_others:
            raise UserError(f"{self._named}: {found}, and none is left to use: {shown}.")
        logger.warning(f"{self._named}: {found} are left out: {shown}")
