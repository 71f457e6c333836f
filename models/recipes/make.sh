#!/bin/sh
# Rebuild every bundled model: sh make.sh WORK [MODELS]
# WORK keeps the packages, a virtual environment and the trained weights; delete
# WORK/sentiment.safetensors to train again.  Training takes about half an hour on
# two cores, the rest a few minutes.  Wants Python 3.11.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: make.sh WORK [MODELS]}"
work=$(cd "$1" && pwd)
models=${2:-$(dirname "$here")}
mkdir -p "$work/packages" "$work/sources" "$models/eval"
for m in efficientnet-lite0 iris sentiment-minilm sentiment-tfidf; do mkdir -p "$models/$m"; done
export ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q -r "$here/requirements.txt"
"$work/venv/bin/pip" download -q --no-deps --no-binary vaderSentiment -r "$here/sources.txt" -d "$work/packages"
cd "$work/sources"
for f in "$work"/packages/*.whl; do python3 -m zipfile -e "$f" .; done
tar xzf "$work"/packages/vaderSentiment-2.5.tar.gz
(cd vaderSentiment-2.5/additional_resources && tar xzf hutto_ICWSM_2014.tar.gz)

py() { echo "== $1"; script=$1; shift; "$work/venv/bin/python" "$here/$script" "$@"; }
cd "$work"
py image_labels.py sources "$models/efficientnet-lite0/labels.txt"
py image_export.py sources "$models/efficientnet-lite0/model.onnx"
py image_quantize.py "$models/efficientnet-lite0/model.onnx" "$models/efficientnet-lite0/model.int8.onnx"
py iris.py "$models/iris" "$models/eval/iris.csv"
py text_data.py sources "$models/eval/sentiment.tsv"
py tfidf.py sources "$models/sentiment-tfidf" "$models/eval/sentiment.tsv"
py text_files.py sources "$models/sentiment-minilm"
[ -f sentiment.safetensors ] || py text_train.py sources sentiment.safetensors
py text_graph.py sentiment.safetensors "$models/sentiment-minilm/model.onnx"
py text_quantize.py sources sentiment.safetensors "$models/sentiment-minilm/tokenizer.json" "$models/sentiment-minilm/model.int8.onnx"
py evaluate.py "$models" sources
