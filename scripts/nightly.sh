#!/usr/bin/env bash
# What takes too long for every change: the whole attack suite and its self-test, a minute of fuzzing for each
# parser, and all folders of the conformance suite. An hour or two on two cores.
#
# Usage: nightly.sh [BINARY]    target/release/onnxd by default
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
failed=0
step() {
    printf '\n== %s\n' "$1"
    "${@:2}" || { echo "FAILED: $1"; failed=1; }
}
step attacks scripts/attack.sh --binary "$binary"
step "attacks in a container" scripts/attack.sh --container --binary "$binary"
step "planted defects" scripts/attack.sh --self-test
step fuzzing scripts/fuzz.sh
step conformance scripts/conformance.sh --binary "$binary"
exit $failed
