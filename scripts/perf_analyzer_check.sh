#!/usr/bin/env bash
# Runs NVIDIA's perf_analyzer, unchanged, against onnxd over HTTP and gRPC: it must find each model's
# inputs by itself, and end without an error. Its figures are printed and not judged.
#
# Usage: perf_analyzer_check.sh [BINARY [SECONDS]]
#   BINARY: target/release/onnxd by default
#   SECONDS: how long each measurement takes, 1 by default
#
# perf_analyzer is in the wheel of tritonclient 2.51, the last one that asks for no newer libc than
# Debian 12's. It wants two libraries, which come from a wheel and from a package of Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/release/onnxd}
milliseconds=$((${2:-1} * 1000))
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
here=$PWD/target/perf-analyzer
tool=$here/tritonclient-2.51.0.data/data/bin/perf_analyzer
export LD_LIBRARY_PATH=$here/nvidia/cuda_runtime/lib:$here/usr/lib/x86_64-linux-gnu

fetch() {
    mkdir -p "$here/wheels"
    python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
        --dest "$here/wheels" tritonclient==2.51.0 nvidia-cuda-runtime-cu12==12.6.77 &&
        for wheel in "$here"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$here"; done &&
        { [ "$(id -u)" != 0 ] || apt-get update -qq; } &&
        (cd "$here" && apt-get download -qq libb64-0d && dpkg -x libb64-0d_*.deb .) &&
        chmod +x "$tool"
}
if ! "$tool" --version >/dev/null 2>&1; then
    if [ "$(uname -sm)" != "Linux x86_64" ] || ! command -v apt-get >/dev/null; then
        echo "perf_analyzer: NOT RUN, it is for Debian's x86-64"
        exit
    fi
    fetch >"$here.log" 2>&1 || { tail -5 "$here.log"; echo "perf_analyzer could not be fetched" >&2; exit 1; }
fi
"$tool" --version

work=$(mktemp -d)
ONNXD_ADMIN__LISTEN='' "$binary" serve --listen 127.0.0.1:0 --device cpu >"$work/out" 2>"$work/log" &
server=$!
trap 'kill $server && wait $server; rm -rf "$work"' EXIT
until address=$(grep -osm1 'http://[0-9.:]*' "$work/out"); do
    kill -0 $server 2>/dev/null || { tail -5 "$work/log" >&2; exit 1; }
    sleep 0.1
done
address=${address#http://}

# perf MODEL PROTOCOL
perf() {
    local model=$1 protocol=$2
    if "$tool" -m "$model" -i "$protocol" -u "$address" --measurement-interval "$milliseconds" \
        --stability-percentage 999 --max-trials 3 --concurrency-range 1:4:3 >"$work/perf" 2>&1 &&
        grep '^Concurrency:' "$work/perf" | sed "s/^/$model, $protocol: /"; then
        return
    fi
    echo "$model, $protocol: perf_analyzer fails" >&2
    tail -20 "$work/perf" >&2
    exit 1
}
for protocol in http grpc; do
    perf iris $protocol
    perf efficientnet-lite0 $protocol
done
