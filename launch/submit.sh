#!/usr/bin/env bash
# A run as a job of a Ray cluster, by Ray's own command line.     usage: launch/submit.sh [key=value ...]
#
#   RAY_ADDRESS=http://HEAD:8265 launch/submit.sh \
#       model=/shared/model data.train=/shared/train.parquet output_dir=/shared/runs
#
# Paths have to be absolute, on storage that every node sees. What it reads from the environment:
#
#   RAY_ADDRESS                     the job server, http://HEAD:8265
#   RAY_AUTH_MODE, RAY_AUTH_TOKEN   `token` and the token, where the cluster asks for one
#   SUBMISSION_ID                   the job's name for `ray job stop ID` and `ray job logs --follow ID`
#
# `r1ray submit` does the same and more: it checks the configuration before anything is sent, finds a job by the run's
# name, connects again to a log that broke off, and ends with the run's own exit code (Ray's is 1, whatever it was).
set -euo pipefail
: "${RAY_ADDRESS:?needs the job server of a Ray cluster, http://HEAD:8265}"

# What stays here, beside what .gitignore and .rayignore files name. Whoever stops the job gives the run this many
# seconds for its step and a checkpoint, before Ray kills it.
runtime_env='{
  "excludes": [".git", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
               "/runs", "/outputs", "checkpoints", "wandb", "mlruns", "*.safetensors", "*.ckpt", "*.pt", "*.pth",
               ".env"],
  "env_vars": {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": "600"}
}'

# The working directory travels with the job: that is where it finds reward functions of your own.
exec ray job submit ${SUBMISSION_ID:+--submission-id "$SUBMISSION_ID"} --working-dir . \
    --runtime-env-json "$runtime_env" -- python -m r1ray run "$@"
