#!/usr/bin/env bash
# Restarts and kills two replicas of onnxd behind a real HAProxy, under load on loopback, and counts what
# the clients lose: nothing in 20 rolling restarts. About four minutes on two cores.
#
# Usage: rolling_check.sh [BINARY [RESTARTS [KILLS]]]    BINARY: target/release/onnxd by default
#
# As root, a missing HAProxy is installed from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
mkdir -p target
debian_tools target/rolling-check-apt.log haproxy=haproxy
command -v haproxy >/dev/null || { echo "HAProxy is not installed" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
python3 tests/rolling/failures.py "$binary" "${@:2}"
