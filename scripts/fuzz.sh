#!/usr/bin/env bash
# Fuzzes every parser of what clients send, from the corpus in fuzz/corpus/ and the test's images; what is found ends it.
#
# Usage: fuzz.sh [--seconds N] [TARGET…]    60 seconds for each target by default; all targets
#
# With a nightly toolchain under AddressSanitizer, else without it. What grows meanwhile lies in
# target/fuzz/; the committed corpus is only read. An input that fails is in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
if [ "${1-}" = --seconds ]; then seconds=$2; shift 2; fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/fuzz/build}
tools=$PWD/target/fuzz/tools
export PATH=$tools/bin:$PATH
command -v cargo-fuzz >/dev/null ||
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/tools cargo install --quiet --locked --version 0.13.2 --root "$tools" cargo-fuzz
[ -f .onnxruntime/libonnxruntime.so ] || { echo "no ONNX Runtime: make setup" >&2; exit 1; }

# Coverage needs a compiler's unstable flags; the sanitizer's runtime is in nightly toolchains alone.
if cargo +nightly --version >/dev/null 2>&1; then
    cargo=(cargo +nightly) options=()
else
    export RUSTC_BOOTSTRAP=1
    cargo=(cargo) options=(--sanitizer none)
fi
# The server and ONNX Runtime live as long as the process, which a leak's finder takes for leaks; those of requests are
# `scripts/attack.sh soak`'s to find.
export ASAN_OPTIONS=detect_leaks=0
# The library is refused without; cargo's own settings reach no fuzzer.
export ORT_DISABLE_TELEMETRY=1
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else sed -n 's/^name = "\([a-z0-9_]*\)"$/\1/p' fuzz/Cargo.toml; fi)
failed=0
for target in "${targets[@]}"; do
    grown=target/fuzz/corpus/$target
    mkdir -p "$grown"
    options_of_target=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=16384 -detect_leaks=0
        -print_final_stats=1)
    seeds=fuzz/corpus/$target
    case $target in
        image) seeds=tests/fixtures/images ;;
        envelope | lines | multipart | v2 | v1 | hugging_face) options_of_target+=(-dict=fuzz/json.dict) ;;
    esac
    echo "-- $target"
    log=target/fuzz/$target.log
    if "${cargo[@]}" fuzz run --codegen-units 16 "${options[@]}" "$target" "$grown" "$seeds" -- \
        "${options_of_target[@]}" >"$log" 2>&1; then
        sed -n 's/^stat::number_of_executed_units: */   runs: /p; s/^stat::peak_rss_mb: */   peak MB: /p' "$log"
    else
        tail -n 40 "$log"
        echo "FAILED: $target"
        failed=1
    fi
done
exit $failed
