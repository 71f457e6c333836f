#!/usr/bin/env bash
# Opens the playground of a running onnxd in a real headless Chromium, light and dark, by mouse, by keys and
# on a phone's screen. Screenshots come into target/playground/.
#
# Usage: playground_check.sh [BINARY [PYTEST ARGUMENT…]]    BINARY: target/release/onnxd by default
#
# As root, a missing Chromium is installed from Debian's packages. Python's come into target/python/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian_tools.sh
. scripts/python_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
here=target/playground
rm -rf "$here"
mkdir -p "$here"
debian_tools "$here/apt.log" chromium=chromium curl=curl
command -v chromium >/dev/null || { echo "FAILED: Chromium is not installed" >&2; exit 1; }
python_tools playground tests/playground/requirements.txt

ONNXD=$(realpath "$binary") CHROMIUM=$(command -v chromium) SCREENSHOTS=$(realpath "$here")
export ONNXD CHROMIUM SCREENSHOTS PYTHONDONTWRITEBYTECODE=1 DENO_NO_UPDATE_CHECK=1
deno=$(dirname "$python")/deno
"$deno" fmt --quiet --check --line-width 100 src/api/playground/*.js
"$deno" lint --quiet src/api/playground/*.js

"$python" -m pytest -q -rs -p no:cacheprovider "${@:2}" tests/playground
echo "$(find "$here" -name '*.png' | wc -l) screenshots in $here"
