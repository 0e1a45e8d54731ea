"""Doors: the functions behind names in the configuration.

    algo.surrogate=clip                --> r1ray.algo.surrogate:clipped            the paper's function
    algo.surrogate=weight              --> r1ray.algo.variants.cispo:weighted      a variant that ships
    algo.surrogate=my_package.losses:f --> my_package.losses:f                     the user's own

All three are loaded in the same way, and called with the same arguments (:mod:`r1ray.algo.inputs`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    import torch

    from r1ray.algo.advantage import Array, Divide
    from r1ray.algo.inputs import AdvantageInputs, LossInputs

F = TypeVar("F")


class Baseline(Protocol):
    """A function that returns r_i minus a baseline: an array for each group, as long as its rewards."""

    def __call__(self, inputs: AdvantageInputs) -> Sequence[Array]: ...


class Scale(Protocol):
    """A function that divides centred rewards by a standard deviation."""

    def __call__(
        self, centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
    ) -> list[Array]:
        """
        Args:
            centred_PG: result of a :class:`Baseline`; the other two are as in its inputs.
            divide: divides values by the square root of a variance, epsilon included.
        """
        ...


class EpsilonPlace(Protocol):
    """A function that returns the denominator of :func:`r1ray.algo.advantage.divide`."""

    def __call__(self, variance: Array, epsilon: float) -> Array: ...


class Ratio(Protocol):
    """A function that returns log rho of each token, [N]."""

    def __call__(self, difference_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """
        Args:
            difference_N: log pi_theta - log pi_old of each token.
            lengths_B: number of the N tokens that belong to each output.
        """
        ...


class Surrogate(Protocol):
    """A function that returns the objective of each token, [N] of the dtype of ``logp_N``, and a mask of the tokens
    whose clip was active, [N] bool."""

    def __call__(self, inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]: ...


class Estimator(Protocol):
    """A function that returns D of each token, [N], from log pi_ref - log pi_theta."""

    def __call__(self, difference_N: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Door(Generic[F]):
    """A setting that names a function, and the functions that ship for it."""

    choice: str
    paths: Mapping[str, str]

    def find(self, name: str) -> F:
        """Return the function with this name, or the one that ``package.module:function`` names. Raises ValueError."""
        module, colon, function = self.paths.get(name, name).partition(":")
        needs = f"needs one of {', '.join(self.paths)}, or package.module:function"
        if not colon:
            raise ValueError(f"unknown {self.choice} {name!r}: {needs}")
        try:
            return cast(F, getattr(importlib.import_module(module), function))
        except (ImportError, AttributeError) as error:
            raise ValueError(f"unknown {self.choice} {name!r}: {needs} of an importable function ({error})") from error


BASELINES = Door[Baseline](
    "baseline",
    {
        "group": "r1ray.algo.advantage:less_group_mean",
        "leave_one_out": "r1ray.algo.variants.leave_one_out:less_mean_of_others",
        "batch": "r1ray.algo.variants.batch_baseline:less_batch_mean",
    },
)
SCALES = Door[Scale](
    "std",
    {
        "sample": "r1ray.algo.advantage:over_group_std",
        "population": "r1ray.algo.variants.population_std:over_population_std",
        "others": "r1ray.algo.variants.others_std:over_std_of_others",
        "batch": "r1ray.algo.variants.batch_std:over_batch_std",
        "token_sample": "r1ray.algo.variants.whitening:whitened",
        "token_population": "r1ray.algo.variants.population_whitening:whitened_by_population",
        "none": "r1ray.algo.variants.no_std:unscaled",
    },
)
EPSILON_PLACES = Door[EpsilonPlace](
    "place of epsilon",
    {
        "std": "r1ray.algo.advantage:epsilon_beside_std",
        "variance": "r1ray.algo.variants.epsilon_in_variance:in_variance",
        "floor": "r1ray.algo.variants.epsilon_as_floor:as_floor",
    },
)
RATIOS = Door[Ratio](
    "level of the ratio",
    {"token": "r1ray.algo.ratio:of_token", "sequence": "r1ray.algo.variants.sequence_ratio:of_sequence"},
)
SURROGATES = Door[Surrogate](
    "surrogate",
    {
        "clip": "r1ray.algo.surrogate:clipped",
        "weight": "r1ray.algo.variants.cispo:weighted",
        "reinforce": "r1ray.algo.variants.reinforce:reinforce",
    },
)
ESTIMATORS = Door[Estimator](
    "estimator of the KL",
    {
        "k1": "r1ray.algo.variants.k1:k1",
        "abs": "r1ray.algo.variants.absolute_kl:absolute",
        "k2": "r1ray.algo.variants.k2:k2",
        "k3": "r1ray.algo.kl:k3",
    },
)
