#!/usr/bin/env bash
# What only a machine with an NVIDIA GPU shows: the tests for it, and the throughput against the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L; then
    echo "gpu_check: no GPU here (nvidia-smi shows none), nothing was checked" >&2
    exit 1
fi
make setup build DEVICE=cuda
cargo test --release --locked --test it -- gpu:: --nocapture

onnxd=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/release/onnxd
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# No two inputs are the same, since identical ones share a run: a decoder ignores what follows a JPEG.
mkdir "$folder/photos"
for i in $(seq 1000); do
    { cat tests/fixtures/images/jpeg-640x480.jpg; echo "$i"; } >"$folder/photos/$i.jpg"
done
for i in $(seq 25); do sed "s/$/ $i/" tests/fixtures/sentences.txt; done | head -n 5000 >"$folder/texts.txt"

# Seconds of the whole command less those of a single input, so that the start does not count.
seconds() {
    local start end
    start=$(date +%s.%N)
    "$onnxd" predict --device "$1" --format jsonl "$2" "$3" >/dev/null
    end=$(date +%s.%N)
    echo "$start $end" | awk '{print $2 - $1}'
}
one_photo=tests/fixtures/images/jpeg-640x480.jpg
head -n 1 "$folder/texts.txt" >"$folder/one.txt"
echo "| model | inputs | cpu, inputs/s | cuda:0, inputs/s |"
echo "|---|---|---|---|"
compare() {
    local line="| $1 | $2 |" device whole start
    for device in cpu cuda:0; do
        start=$(seconds "$device" "$1" "$3")
        whole=$(seconds "$device" "$1" "$4")
        line+=" $(echo "$2 $whole $start" | awk '{printf "%.0f", ($1 - 1) / ($2 - $3)}') |"
    done
    echo "$line"
}
compare efficientnet-lite0 1000 "$one_photo" "$folder/photos"
compare sentiment-minilm 5000 "$folder/one.txt" "$folder/texts.txt"
