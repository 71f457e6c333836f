#!/usr/bin/env bash
# Serves every model of onnx's backend tests that ONNX Runtime itself passes, and compares the answers
# over the Open Inference Protocol v2, in JSON and in binary, with ONNX Runtime's.
#
# Usage: onnx_backend_check.sh [BINARY [TABLE]]
#   BINARY: target/release/onnxd by default
#   TABLE: a Markdown file whose outcome is written anew, docs/onnx-backend.md
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
python_tools onnx-backend tests/onnx_backend/requirements.txt
"$python" tests/onnx_backend/check.py "$binary" "${@:2}"
