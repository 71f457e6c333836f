#!/usr/bin/env bash
# Runs every example against a real onnxd and looks at what it prints: curl, Python (requests, httpx,
# gRPC), JavaScript, the latency plot, and, where Go is there, the client in Go.
#
# Usage: examples_check.sh [BINARY]    BINARY: target/release/onnxd by default
#
# As root, missing curl, jq and Node are installed from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python_tools.sh
. scripts/debian_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
here=target/examples-check
rm -rf "$here"
mkdir -p "$here/photos"
debian_tools "$here/apt.log" curl=curl jq=jq node=nodejs
python_tools examples examples/requirements.txt
export PYTHONDONTWRITEBYTECODE=1 MPLBACKEND=agg MPLCONFIGDIR=$PWD/$here

server=
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" || true; }' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

read -r data admin < <(python3 -c '
import socket
probes = [socket.socket() for _ in range(2)]
for probe in probes: probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))')
export ONNXD_URL=http://127.0.0.1:$data
# start [KEY=VALUE…]: with these keys of the configuration
start() {
    [ -z "$server" ] || { kill "$server"; wait "$server"; }
    # Every ONNXD_… is a key of the configuration to onnxd itself.
    env -u ONNXD_URL "$@" ONNXD_SERVER__LISTEN="127.0.0.1:$data" ONNXD_ADMIN__LISTEN="127.0.0.1:$admin" \
        ONNXD_RUNTIME__DEVICE=cpu ONNXD_LOG__FILTER=warn "$binary" serve >>"$here/onnxd.log" 2>&1 &
    server=$!
    until curl -sf -o /dev/null "http://127.0.0.1:$admin/health/ready"; do
        kill -0 "$server" 2>/dev/null && ((SECONDS < 300)) || { cat "$here/onnxd.log" >&2; fail "onnxd does not get ready"; }
        sleep 0.1
    done
}

# check NAME COMMAND…: its output has every line's pattern of standard input, and its status is 0.
check() {
    local name=$1 pattern
    shift
    echo "-- $name"
    "$@" >"$here/$name.out" 2>&1 || { cat "$here/$name.out" >&2; fail "$name: status $?"; }
    while read -r pattern; do
        grep -Eq -- "$pattern" "$here/$name.out" || { cat "$here/$name.out" >&2; fail "$name: no line like: $pattern"; }
    done
}

start
check curl examples/predict.sh <<'LINES'
^espresso 0\.9
^(positive|neutral|negative) 0\.
^setosa$
^virginica$
^\{"name":"label","shape":\[1\],"data":\[0\]\}$
^422 `features`: expected 4 numbers a row .*, got 3 numbers$
LINES
check requests "$python" examples/predict.py <<'LINES'
^jpeg-coffee.jpg: espresso 0\.9
love it! positive 0\.9
after a week. negative 0\.9
^\[5.1, 3.5, 1.4, 0.2\]: setosa$
^refused: 422 `features`: expected 4 numbers .* \(request [0-9a-f]{32}\)$
LINES
check grpc "$python" examples/infer_grpc.py <<'LINES'
^iris takes features FP32 \[-1, 4\]$
^classes \[0, 2\] probabilities \(2, 3\)$
love it! positive$
^jpeg-coffee.jpg espresso$
^refused: NOT_FOUND .*did you mean `iris`
LINES
if command -v node >/dev/null; then
    check javascript node examples/predict.mjs <<'LINES'
^jpeg-coffee.jpg: espresso 0\.9
^form: espresso, espresso$
after a week. negative 0\.9
^refused: 422 `features`: .* \(request [0-9a-f]{32}\)$
LINES
else
    fail "no Node"
fi
SECONDS_EACH=0.3 check plot "$python" examples/latency_plot.py "$here/latency.svg" <<'LINES'
^  1 clients: +[1-9][0-9]* photos/s, p50 [0-9.]+ ms
^ 32 clients: +[1-9][0-9]* photos/s
LINES
grep -q '<svg' "$here/latency.svg" || fail "the plot is no SVG"
if [ -d examples/go ] && command -v go >/dev/null && go version >/dev/null; then
    # Made from the server's own description by scripts/openapi_check.sh, which also fetches Go.
    [ -x target/openapi-check/go/classify ] &&
        check go target/openapi-check/go/classify "$ONNXD_URL" tests/fixtures/images/jpeg-coffee.jpg \
            "What a waste of two hours." <<'LINES'
: espresso 
: negative 
LINES
fi

# So little may be in work that many of the photos are refused at first, and asked again.
start ONNXD_SERVER__MAX_CONCURRENT_REQUESTS=2
for photo in tests/fixtures/images/{jpeg-coffee,jpeg-rocket,jpeg-chelsea,jpeg-flower,jpeg-china}.jpg; do
    for copy in 1 2 3; do cp "$photo" "$here/photos/$copy-$(basename "$photo")"; done
done
check async "$python" examples/photos_async.py "$here/photos" 8 <<'LINES'
^\{"photo": "1-jpeg-coffee.jpg", "label": "espresso"
^\{"photo": "3-jpeg-rocket.jpg", "label": "
^15 photos, 0 refused$
LINES
refused=$(curl -sf "http://127.0.0.1:$admin/metrics" | awk '/^onnxd_http_responses_total.*code="429"/ { n += $NF } END { print n + 0 }')
[ "$refused" -gt 0 ] || fail "async: nothing was refused, so that nothing was asked again"
echo "   $refused answers were 429 and asked again"
! grep -E '"ERROR"| ERROR |panicked' "$here/onnxd.log" || fail "the server's log has errors"
echo passed
