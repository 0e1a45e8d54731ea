"""The text of ``r1ray --help``."""

from __future__ import annotations

from r1ray import __version__

OVERVIEW = f"""r1ray {__version__}: DeepSeek-R1's reinforcement learning on Ray, vLLM and DeepSpeed

usage: r1ray run [recipe=r1|r1_zero|sft|...] [experiment=quickstart] [algo=paper|verl|dapo|...] [key=value ...]
       r1ray eval model=PATH benchmark=NAME data=PATH [against=PATH] [key=value ...]
       r1ray score FILE [reward=check|r1_zero|reasoning] [output=FILE] [key=value ...]
       r1ray plan [--json] [the same overrides as run]
       r1ray doctor [--smoke] [--json] [the same overrides as run]
       r1ray export RUN_DIR [version=N|best] [stage=NAME] [--out DIR]
       r1ray submit [--address URL] [--no-wait | --stop | --status] [the overrides of a run, or its name]
       r1ray VERB --help

  run     run a recipe; the same command resumes an interrupted run, and skips what is finished
  eval    pass@1, cons@k and the other metrics of a benchmark, with intervals; two models are compared
  score   rewards of given responses: JSON lines or Parquet in, one outcome a line out
  plan    memory of each actor, batch arithmetic, time of a step, disk and cost, before anything is asked for; what
          cannot fit is refused with the nearest change that would
  doctor  would this run work here? Checks of cluster, model and data, each green, yellow or red; ends with 1 for a red
          --smoke: two real steps of a tiny model on that cluster instead, in the configured dtypes and over the
          configured transport, and the seconds of each phase; needs neither model nor data
  export  a Hugging Face folder of a checkpoint (the newest, version=N, or the best), in RUN_DIR/hf/ or in DIR; needs
          neither GPUs nor Ray. Of a recipe, of the newest stage that has it, or of stage=NAME. With adapters,
          learner.lora.export=merged or adapter chooses what is written
  submit  the same run as a job of the Ray cluster at URL (http://HEAD:8265) or RAY_ADDRESS; follows its log and ends
          with its exit code; the same command again follows it, or resumes it where it has ended

Recipes: r1, distill, distill_vs_rl (several stages); r1_zero, sft, reward_model, collect, extend, evaluate (one).
`r1ray run ... --cfg job` prints everything that would be run.
Flags (--x) say what a command does with its output; everything else after the verb is Hydra override syntax:
algo.group_size=8, learner.lr=1e-6.
model=NAME and cluster=NAME take settings that ship (qwen2.5_7b, one_node_8, ...: conf/model/, conf/cluster/).
A run of your own needs  model=PATH data.train=PATH  and should have  data.eval=PATH;
with recipe=sft or reward_model  model=PATH supervised.train=PATH  and  supervised.eval=PATH.
Every key, with its meaning and default, is in r1ray/config/; the settings that ship are in conf/.
Exit codes: 0 done, 1 what was asked about is not right (doctor), 2 your input, 3 a fault ended it, 130 Ctrl-C,
143 SIGTERM.
"""
