#!/usr/bin/env bash
# verifiers in an environment of its own (400 MB, a minute), with the packages of tasksets that are named.
# usage: launch/verifiers.sh [.venv-verifiers [TASKSET ...]]
#
# It goes beside r1ray's environment and not into it: verifiers pins other versions of mcp and openai than vLLM. See "Agents
# that others wrote" in r1ray/environments/README.md.
set -euo pipefail
venv=${1:-.venv-verifiers}

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet verifiers==0.4.0 uv==0.13.9 "${@:2}"
echo "environment.command=[$(cd "$venv" && pwd)/bin/vf-eval, ...]"
