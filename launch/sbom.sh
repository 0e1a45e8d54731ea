#!/usr/bin/env bash
# A bill of materials (CycloneDX, JSON) of an environment that has r1ray.   usage: launch/sbom.sh [.venv [sbom.json]]
#
# Of what is installed, and not of a lock: a lock has neither licences nor hashes. Packages that do not say their licence
# in a way that can be read get it from licences.tsv; one that has none there either is named, and the exit code is 1.
set -euo pipefail
venv=${1:-.venv}
out=${2:-sbom.json}
here=$(cd "$(dirname "$0")" && pwd)
[ -x "$venv/bin/python" ] || {
    echo "sbom.sh: $venv is no environment: usage: launch/sbom.sh [.venv [sbom.json]]" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
"$work/venv/bin/cyclonedx-py" environment "$venv/bin/python" --output-reproducible -o "$work/sbom.json"
"$work/venv/bin/python" "$here/fill_licences.py" "$here/licences.tsv" "$work/sbom.json" "$out"
