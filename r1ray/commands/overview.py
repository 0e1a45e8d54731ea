"""The text of ``r1ray --help``."""

from __future__ import annotations

from r1ray import __version__

OVERVIEW = f"""r1ray {__version__}: DeepSeek-R1's reinforcement learning on Ray, vLLM and DeepSpeed

usage: r1ray VERB [flags] [key=value ...]

verbs:
  run     run a recipe; the same command resumes it, and skips what is finished
  eval    compute the metrics of a model, or of two, on a benchmark
  chat    talk to a model, or to that of a run
  score   compute the rewards of responses that you have
  audit   show what a reward would pay to wrong responses
  plan    show memory, time, disk and cost of a run, before anything is started
  doctor  check cluster, model and data of a run; --smoke makes two steps of a tiny model
  export  make a Hugging Face folder of a checkpoint
  submit  run as a job of a Ray cluster
  status  show what a run does, and what its processes wait for, also of one that is stopped or dead
  report  make a page of runs: curves, timeline, rollouts; --serve shows every rollout
  replay  compute loss and gradient of a logged step again, and compare them with the log
  keys    show keys of the configuration, with defaults and meanings
  files   copy the Kubernetes manifests, or the launch scripts, to where they can be edited

examples:
  r1ray run experiment=quickstart
  r1ray run model=/models/base data.train=train.parquet data.eval=test.parquet algo=dapo learner.lr=2e-6
  r1ray plan model=qwen2.5_7b cluster=one_node_8

where to look:
  r1ray VERB --help         usage, flags, examples and keys of a verb
  r1ray keys PATTERN        the keys with PATTERN in their names, or the files that a group (algo, model, ...) can take
  r1ray run ... --cfg job   everything that would be run

exit codes: 0 done, 1 what was asked about is not right (doctor, replay, audit), 2 your input, 3 a fault ended it,
  130 Ctrl-C, 143 SIGTERM
"""
