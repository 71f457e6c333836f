#!/usr/bin/env bash
# Asks onnxd with the public clients, unchanged: Triton's over HTTP and gRPC, KServe's for v2 and v1,
# and NVIDIA's perf_analyzer.
#
# Usage: clients_check.sh [BINARY [PYTEST ARGUMENT…]]    BINARY: target/release/onnxd by default
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
ONNXD=$(realpath "$binary")
export ONNXD PYTHONDONTWRITEBYTECODE=1
python_tools clients tests/clients/requirements.txt

failed=0
# A process for each: both register the protocol's messages.
for kind in triton kserve; do
    echo "-- $kind"
    "$python" -m pytest -q -p no:cacheprovider "${@:2}" tests/clients/test_"$kind"*.py || failed=1
done
[ $# -gt 1 ] || scripts/perf_analyzer_check.sh "$binary" || failed=1
[ $failed = 0 ] && echo passed
exit $failed
