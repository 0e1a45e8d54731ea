"""What is said of engines that failed."""

from __future__ import annotations

from r1ray.cluster.reasons import reason_of


def test_a_workers_reason_is_told_without_vllms_wrapping_and_without_logs() -> None:
    inner = "the engine does not hold what it was sent: model.layers.3.mlp.down_proj.weight"
    raised = Exception(
        f"Call to collective_rpc method failed: Worker failed with error '{inner}', please check the stack trace above "
        "for the root cause"
    )
    wrapped = RuntimeError("Traceback\n ...\nthe end of this actor's log:\nLoading checkpoint shards: 100%")
    wrapped.cause = raised  # type: ignore[attr-defined]
    assert reason_of(wrapped) == reason_of(raised) == inner
    assert reason_of(ValueError()) == "ValueError"
