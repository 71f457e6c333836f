#!/usr/bin/env bash
# Holds a running onnxd to its own OpenAPI document: the document is valid; Schemathesis finds no
# status, header or body that it does not tell, no 5xx, and nothing taken that it forbids; and the client
# that is generated from it in Go classifies a photo and a sentence.
#
# Usage: openapi_check.sh [BINARY [ARGUMENT OF SCHEMATHESIS…]]    BINARY: target/release/onnxd by default
#
# As root, a missing Java, which the generator needs, is installed from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python_tools.sh
. scripts/debian_tools.sh

binary=${1:-target/release/onnxd}
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
here=target/openapi-check
rm -rf "$here"
mkdir -p "$here"
python_tools openapi tests/openapi/requirements.txt
debian_tools "$here/apt.log" java=default-jre-headless
tools=$(dirname "$python")

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
ONNXD_SERVER__LISTEN=127.0.0.1:$data ONNXD_ADMIN__LISTEN=127.0.0.1:$admin ONNXD_LOG__FILTER=warn \
    "$binary" serve >"$here/onnxd.log" 2>&1 &
server=$!
until curl -sf -o /dev/null "http://127.0.0.1:$admin/health/ready"; do
    kill -0 "$server" 2>/dev/null && ((SECONDS < 300)) || { cat "$here/onnxd.log" >&2; fail "onnxd does not get ready"; }
    sleep 0.1
done
document=$here/openapi.json
curl -sf -o "$document" "http://127.0.0.1:$data/openapi.json" || fail "no document"

echo "-- validity"
"$python" -m openapi_spec_validator "$document"

# schemathesis PORT ARGUMENT…
schemathesis() {
    PYTHONPATH=tests/openapi PYTHONDONTWRITEBYTECODE=1 "$tools/schemathesis" \
        --config-file tests/openapi/schemathesis.toml run "$document" --url "http://127.0.0.1:$1" "${@:2}"
}
echo "-- Schemathesis, data port"
schemathesis "$data" --exclude-tag admin "${@:2}"
echo "-- Schemathesis, admin port"
# To load and to unload changes the models, and is tested elsewhere.
schemathesis "$admin" --include-tag admin --exclude-path-regex '/(load|unload)$' "${@:2}"
! grep -E 'ERROR|panicked' "$here/onnxd.log" || fail "the server's log has errors"

echo "-- a client in Go"
cp -r examples/go "$here/"
"$tools/openapi-generator-cli" generate -g go -i "$document" -o "$here/go/onnxd" \
    --additional-properties=packageName=onnxd,withGoMod=false \
    --global-property=models,apis,supportingFiles,apiTests=false,modelTests=false >"$here/generator.log" 2>&1 ||
    { tail -n 20 "$here/generator.log" >&2; fail "the generator does not take the document"; }
photo=$PWD/tests/fixtures/images/jpeg-coffee.jpg
tools=$(realpath "$tools")
# Nothing beyond the standard library: there is no proxy to fetch it from.
export GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE=$PWD/target/go-cache
(cd "$here/go/onnxd" && "$tools/go" mod init onnxd) 2>>"$here/generator.log"
(cd "$here/go" && "$tools/go" vet . && "$tools/go" build -o classify .)
"$here/go/classify" "http://127.0.0.1:$data" "$photo" "What a waste of two hours." | tee "$here/classified"
grep -q ': espresso ' "$here/classified" || fail "the photo is no espresso"
grep -q ': negative ' "$here/classified" || fail "the sentence is not negative"
echo passed
