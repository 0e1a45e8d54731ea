#!/usr/bin/env bash
# mini-swe-agent in an environment of its own (600 MB, a minute).   usage: launch/mini-swe-agent.sh [.venv-mini-swe-agent]
#
# It goes beside r1ray's environment and not into it: its litellm wants other versions of openai and aiohttp than vLLM. See
# "Agents that others wrote" in r1ray/environments/README.md.
set -euo pipefail
venv=${1:-.venv-mini-swe-agent}

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet mini-swe-agent==2.4.6
echo "environment.command=[$(cd "$venv" && pwd)/bin/mini, ...]"
