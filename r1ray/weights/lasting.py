"""A round of a publish that every learner rank takes to its end, although rank 0 alone hears what goes wrong in it."""

from __future__ import annotations

from typing import Any

from r1ray.weights.gloo import Engines


class Lasting:
    """A client whose first failure is kept for the end of the round: until then every rank takes part in the others'
    collectives."""

    def __init__(self, client: Engines) -> None:
        self._client = client
        self.failure: Exception | None = None

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._client.init_weight_transfer_engine(init_info)

    def start_weight_update(self) -> None:
        self._unless_failed("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._unless_failed("update_weights", update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._unless_failed("finish_weight_update")

    def raise_failure(self) -> None:
        """Raise what went wrong in a round, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _unless_failed(self, method: str, *arguments: Any) -> None:
        if self.failure is None:
            try:
                getattr(self._client, method)(*arguments)
            except Exception as error:  # whatever it is, the others are on their way into the next collective
                self.failure = error
