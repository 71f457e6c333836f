#!/usr/bin/env bash
# Has the exporters write all folders of tests/conformance/recipes, asks onnxd for each, and writes the table.
#
# Usage: conformance.sh [--binary ONNXD] [--only PATTERN] [--jobs N] [--recipes NAME…]
#   --binary    target/release/onnxd by default
#   --only      such as 'skl2onnx/svc-*'; no table is written then
#   --jobs      recipes, and later exporters, at once; 1 by default
#   --recipes   only these files of recipes/, without .py; no table is written then
#
# Everything lies in target/conformance/: a venv for each file in requirements/, and folders/. What is there is
# not made again, so a run that was interrupted goes on. Remove target/conformance/folders to begin anew.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=target/release/onnxd only='*' jobs=1 recipes=()
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --recipes) shift; while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do recipes+=("$1"); shift; done ;;
        *) sed -n '2,/^set/p' "$0" | grep '^#' >&2; exit 2 ;;
    esac
done
[ -x "$binary" ] || { echo "no binary $binary; build it first" >&2; exit 1; }
here=$PWD/tests/conformance
work=$PWD/target/conformance
whole=false
if [ ${#recipes[@]} = 0 ] && [ "$only" = '*' ]; then whole=true; fi
if [ ${#recipes[@]} = 0 ]; then
    for file in $(grep -l '^REQUIREMENTS = ' "$here"/recipes/*.py); do recipes+=("$(basename "$file" .py)"); done
fi
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$work/folders"

# The venv of a file in requirements/, made once; what is pinned is fetched through pip.
venv() {
    local folder=$work/python/$1 wanted=$here/requirements/$1.txt
    cmp -s "$wanted" "$folder/requirements.txt" && return
    echo "-- packages of requirements/$1.txt" >&2
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    # A list that is whole says so: what its packages ask for besides would bring others in their place.
    local options=()
    if grep -q '^# --no-deps' "$wanted"; then options=(--no-deps); fi
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet "${options[@]}" --requirement "$wanted"
    # Last, so that what was interrupted is made anew.
    cp "$wanted" "$folder/requirements.txt"
}

failed=0 running=()
finish() {
    wait "${running[0]}" || failed=1
    running=("${running[@]:1}")
}
for recipe in "${recipes[@]}"; do
    requirements=$(sed -n 's/^REQUIREMENTS = "\(.*\)"/\1/p' "$here/recipes/$recipe.py")
    venv "$requirements"
    [ ${#running[@]} -lt "$jobs" ] || finish
    "$work/python/$requirements/bin/python" "$here/recipes/$recipe.py" "$work/folders" --only "$only" &
    running+=($!)
done
while [ ${#running[@]} -gt 0 ]; do finish; done
[ $failed = 0 ] || echo "not every folder could be made" >&2

table=()
if $whole; then table=(--table docs/conformance.md); fi
python3 "$here/run.py" "$work/folders" --binary "$binary" --only "$only" --jobs "$jobs" "${table[@]}" || failed=1
exit $failed
