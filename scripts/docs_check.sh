#!/usr/bin/env bash
# Runs every command of README.md, docs/ and examples/README.md, and compares what comes out with what
# the pages show. tests/docs/page.py says how a page marks a command that is not run, and why.
#
# Usage: docs_check.sh [BINARY [PAGE…]]    BINARY: target/release/onnxd by default
#
# As root, missing curl and jq are installed from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python_tools.sh
. scripts/debian_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
mkdir -p target
debian_tools target/docs-apt.log curl=curl jq=jq
python_tools docs tests/docs/requirements.txt
export PYTHONDONTWRITEBYTECODE=1
"$python" tests/docs/test_compare.py
"$python" tests/docs/run.py "$binary" "${@:2}"
