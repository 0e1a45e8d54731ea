#!/usr/bin/env bash
# A run as a Slurm job that is asked to end early enough.    usage: launch/slurm.sh [OPTION OF sbatch ...] -- [key=value ...]
#
#   launch/slurm.sh --nodes=4 --gpus-per-node=8 --time=24:00:00 -- \
#       model=/shared/model data.train=/shared/train.parquet output_dir=/shared/runs rollout.num_actors=24 ...
#
# It submits launch/slurm.sbatch, which says more, with the time that `r1ray plan` says a run takes from a signal to its
# end: the rest of a step, a checkpoint. Give --signal=B:USR1@SECONDS yourself where it knows no such model.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ ! -d .venv ] || export PATH="$PWD/.venv/bin:$PATH"

options=() signal=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    [[ $1 != --signal=* ]] || signal=given
    options+=("$1")
    shift
done
[ $# -gt 0 ] || { echo "usage: launch/slurm.sh [OPTION OF sbatch ...] -- [key=value ...]" >&2 && exit 2; }
shift

if [ -z "$signal" ]; then
    ending=$(python -m r1ray plan --ending "$@")
    [ "$ending" -le 65535 ] || ending=65535 # what Slurm takes at most: 18 hours
    echo "asked to end $ending s before the time limit (--signal)" >&2
    options+=("--signal=B:USR1@$ending")
fi
exec sbatch "${options[@]}" "$here/slurm.sbatch" "$@"
