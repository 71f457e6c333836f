#!/usr/bin/env bash
# Measures onnxd against the services of benches/peers, which run in a Python of their own.
#
# Usage: scripts/peers.sh [text] [mosec]
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/python_tools.sh
python_tools peers benches/peers/requirements.txt
PEER_PYTHON=$python cargo bench --locked --bench peers -- "$@"
