#!/usr/bin/env bash
# A virtual environment with the locked CPU stack and this checkout.   usage: launch/install-cpu.sh [.venv]
#
# The CPU build of torch comes first: whatever is installed before it would pull the CUDA build. It is taken from
# where pip is configured to look (find-links), else from PyTorch's own index of CPU builds. Everything else is
# installed exactly as locked and without its dependencies: vLLM names torchvision, torchaudio and torchcodec, whose
# PyPI builds are CUDA builds that a text-only install does not need and that break `import vllm` beside a CPU torch.
set -euo pipefail
venv=${1:-.venv}
here=$(cd "$(dirname "$0")" && pwd)
torch=$(grep '^torch==' "$here/requirements-cpu.txt")

command -v "${PYTHON:=python3.11}" >/dev/null || PYTHON=python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "$PYTHON is not Python 3.11, which the lock was made for: set PYTHON=/path/to/python3.11" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
echo "installing the CPU stack into $venv: about 4 GB, a few minutes"

if ! "$venv/bin/python" -c "import torch; assert torch.__version__ == '${torch#torch==}'" 2>/dev/null; then
    pip install --quiet --no-deps "$torch" 2>/dev/null ||
        pip install --no-deps "$torch" --index-url https://download.pytorch.org/whl/cpu
fi
pip install -qq --no-deps --requirement "$here/requirements-cpu.txt"
pip install -qq --no-deps --no-build-isolation --editable "$here/.."
