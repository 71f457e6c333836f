#!/usr/bin/env bash
# Attacks a server, and holds each attack to its bounds while a good client is served; docs/security.md has
# the table. Needs no root. About twelve minutes on two cores.
#
# Usage: attack.sh [--binary ONNXD] [--short] [--list] [--json FILE] [NAME…]    some attacks, or all of them
#        attack.sh --container [--binary ONNXD] [NAME…]    those that take memory, alone and eight at once, in 2 GB
#        attack.sh --self-test [NAME…]    planted defects must be found: builds the server once for each
#
#   --binary   target/release/onnxd by default
#   --short    the part for CI, under a minute and a half
#   --json     also writes the figures to this file
#
# Packages and what the runs leave lie in target/attack/.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=tests/attack/requirements.txt work=target/attack
export PYTHONDONTWRITEBYTECODE=1
if ! cmp -s "$requirements" "$work/python/requirements.txt"; then
    rm -rf "$work/python"
    "${PYTHON:-python3}" -m venv "$work/python"
    "$work/python/bin/python" -m pip --disable-pip-version-check install --quiet --requirement "$requirements"
    # Last, so that what was interrupted is made anew.
    cp "$requirements" "$work/python/requirements.txt"
fi
# Thousands of connections, on both sides.
ulimit -n "$(ulimit -Hn)"

case ${1-} in
    --self-test) exec "$work/python/bin/python" tests/attack/self_test.py "${@:2}" ;;
    *) exec "$work/python/bin/python" tests/attack/run.py "$@" ;;
esac
