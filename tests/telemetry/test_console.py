from __future__ import annotations

from r1ray.telemetry.console import Progress

ROW = {
    "step": 1.0,
    "reward/mean": 0.75,
    "reward/accuracy": 0.25,
    "reward_errors/mine": 0.0,
    "completion/length_mean": 12.3,
    "throughput/generated_tokens_per_s": 4321.0,
}


def test_a_step_is_a_row_with_the_metrics_that_a_user_watches(said: list[str]) -> None:
    progress = Progress(num_steps=40, benchmark="heldout")
    progress.step({"step": 0.0, "eval/heldout/pass@1": 0.2, "eval/heldout/pass@1_low": 0.1})
    progress.step(ROW)
    progress.step(ROW | {"step": 2.0, "reward/mean": 0.25, "eval/heldout/pass@1": 0.5})
    before, header, first, second = said
    assert before == "step 0  held-out: pass@1 0.200"
    assert header.split() == ["step", "reward", "of", "5", "length", "pass@1", "tokens/s", "left", "accuracy"]
    assert first.split()[:5] == ["1/40", "0.750", "0.750", "12.3", "4321"] and first.split()[-1] == "0.250"
    assert second.split()[:6] == ["2/40", "0.250", "0.500", "12.3", "0.500", "4321"]
    assert ":" in second.split()[6] and second.split()[7] == "0.250"


def test_the_table_puts_before_beside_after(said: list[str]) -> None:
    Progress(num_steps=1, benchmark="heldout").table({"pass@1": 0.2, "cons@4": 0.3}, {"pass@1": 0.9})
    (printed,) = said
    assert "pass@1" in printed and "0.200" in printed and "0.900" in printed and "cons@4" in printed


def test_of_several_sets_the_row_has_the_metric_over_all(said: list[str]) -> None:
    progress = Progress(num_steps=3, benchmark="")
    progress.step({"step": 0.0, "eval/pass@1": 0.25, "eval/aime/pass@1": 0.5})
    progress.step(ROW | {"eval/pass@1": 0.375, "eval/aime/pass@1": 0.75})
    progress.step({"step": 2.0, "eval/abandoned": 1.0})
    assert "pass@1 0.250  aime/pass@1 0.500" in said[0]
    assert " 0.375 " in said[2] and "0.750" not in said[2].split()[6]
    assert "abandoned 1.000" in said[3]


def test_a_part_that_only_some_prompts_have_gets_a_column_when_it_comes(said: list[str]) -> None:
    progress = Progress(num_steps=3, benchmark="")
    row = {"reward/mean": 0.5, "completion/length_mean": 3.0, "throughput/generated_tokens_per_s": 9.0}
    progress.step(row | {"step": 1.0, "reward/accuracy": 0.25, "domain/math/reward_mean": 0.125})
    progress.step(row | {"step": 2.0, "reward/helpful": 0.75})
    printed = "\n".join(said)
    assert printed.count("accuracy") == 2 and printed.count("helpful") == 1, "the header comes again with it"
    assert "0.250" in printed and "0.750" in printed
    assert "domain" not in printed and "0.125" not in printed


def test_rewards_of_steps_that_are_made_again_are_not_in_the_mean(said: list[str]) -> None:
    progress = Progress(num_steps=40, benchmark="")
    for step, reward in ((1.0, 0.5), (2.0, 0.0), (3.0, 0.0), (2.0, 1.0)):
        progress.step(ROW | {"step": step, "reward/mean": reward})
    assert said[-1].split()[:3] == ["2/40", "1.000", "0.750"]
