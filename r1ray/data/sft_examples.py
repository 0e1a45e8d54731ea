"""Input of a supervised learner: examples to learn from, and pairs of answers of which one is preferred."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.types import BoolArray, Int32Array


@dataclass(frozen=True, slots=True)
class SFTExample:
    """A dialogue to learn from: its tokens, with a mask of the answers.

    Example: ``SFTExample("7", np.array([5, 9, 2], np.int32), np.array([False, True, True]))``
    """

    id: str
    """The data set's own name of the row."""
    token_ids: Int32Array  # [T] int32
    loss_mask: BoolArray  # [T] bool: the tokens of answers, each with its end; never the first of the row

    @property
    def num_tokens(self) -> int:
        """Number of tokens that the learner's forward pass has to read."""
        return len(self.token_ids)

    @property
    def num_terms(self) -> int:
        """Number of terms of the mean loss, which are the tokens in the loss."""
        return int(self.loss_mask.sum())


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one prompt, of which one is preferred. ``loss_mask`` marks the tokens of the answer."""

    chosen: SFTExample
    rejected: SFTExample
    margin: float
    """Amount by which the chosen answer's score has to exceed the other's."""

    @property
    def id(self) -> str:
        return self.chosen.id

    @property
    def num_tokens(self) -> int:
        """Number of tokens of both answers, which are computed in one micro-batch."""
        return self.chosen.num_tokens + self.rejected.num_tokens

    @property
    def num_terms(self) -> int:
        """Number of terms of the mean loss: one for the pair."""
        return 1
