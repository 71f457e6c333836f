#!/usr/bin/env bash
# Many threads in one session of ONNX Runtime, under valgrind: a read or write of memory that is not theirs ends it.
#
# Usage: shared_session_check.sh [RUNS]    60 runs of each network by default, a few minutes
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind is not installed" >&2; exit 1; }
binary=$(cargo test --release --locked --test it --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p')
export ONNXD_STRESS_RUNS=${1:-60} ORT_DISABLE_TELEMETRY=1
# What ONNX Runtime's own start leaves behind is not looked at; that is no part of a run.
valgrind --quiet --error-exitcode=9 --leak-check=no --undef-value-errors=no --fair-sched=yes \
    "$binary" --exact shared_session::many_threads_in_one_session_get_the_answers_of_a_thread_that_is_alone
