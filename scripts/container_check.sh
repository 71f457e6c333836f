#!/usr/bin/env bash
# Builds the CPU's image and tries it as it is meant to be run: without a shell, root, capabilities or
# a writable file. Where there is no container engine it says so and passes.
# BUILDER_IMAGE names the image to build in; the default is Dockerfile's own or, where that cannot be
# pulled, one made of this machine. Usage: container_check.sh
set -euo pipefail
cd "$(dirname "$0")/.."

readonly IMAGE=onnxd-test/onnxd BARE=onnxd-test/onnxd-bare BUILD=onnxd-test/onnxd-build
readonly MOST_BYTES=60000000 MOST_SECONDS=90
readonly PHOTO=tests/fixtures/images/jpeg-coffee.jpg
work=$(mktemp -d)
container=
trap '[ -z "$container" ] || docker rm --force --volumes "$container" >/dev/null; rm -rf "$work"' EXIT

fail() {
    printf 'container check failed: %s\n' "$*" >&2
    [ -z "$container" ] || docker logs --tail 20 "$container" >&2
    exit 1
}

# Asks again and again until the command says yes, at most MOST_SECONDS, while the container runs.
until_true() {
    local what=$1 end=$((SECONDS + MOST_SECONDS))
    shift
    until "$@"; do
        [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || fail "it ended; wanted: $what"
        [ "$SECONDS" -lt "$end" ] || fail "not within $MOST_SECONDS s: $what"
        sleep 0.05
    done
}

builder_image() {
    local image
    image=$(sed -n 's/^ARG BUILDER_IMAGE=//p' Dockerfile)
    if docker image inspect "$image" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$image" >/dev/null 2>&1; then
        echo "$image"
    else
        scripts/container_base.sh >&2
        echo onnxd-test/rust
    fi
}

# The image's stage under this tag. An older image of the tag goes, and with it the layers that no
# other uses; those of the new one are the next run's cache.
build() {
    local stage=$1 tag=$2 old
    old=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
    # An argument without a value takes it from the environment, if it is there.
    docker build --network host --target "$stage" --tag "$tag" \
        --build-arg BUILDER_IMAGE="$builder" --build-arg CARGO_CONFIG="$cargo_config" \
        --build-arg VERSION="$(sed -n '0,/^version/ s/^version = "\(.*\)"/\1/p' Cargo.toml)" \
        --build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL \
        --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy \
        . >"$work/log" 2>&1 || {
        tail -n 40 "$work/log" >&2
        fail "docker build --target $stage"
    }
    if [ -n "$old" ] && [ "$old" != "$(docker image inspect --format '{{.Id}}' "$tag")" ]; then
        docker image rm "$old" >/dev/null 2>&1 || true
    fi
}

size() { docker image inspect --format '{{.Size}}' "$1"; }
megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'; }
of() { docker inspect --format "$1" "$container"; }
published() { docker port "$container" "$1/tcp" | sed -n 1p; }
milliseconds() { echo $((($(date +%s%N) - $1) / 1000000)); }

if ! docker info >/dev/null 2>&1; then
    echo "containers: NOT CHECKED, there is no container engine here"
    exit 0
fi

builder=${BUILDER_IMAGE:-$(builder_image)}
cargo_config=$(cat "${CARGO_HOME:-$HOME/.cargo}/config.toml" 2>/dev/null || true)
started=$(date +%s%N)
build build "$BUILD"
build bare "$BARE"
build onnxd "$IMAGE"
echo "built in $(milliseconds "$started") ms, in $builder"

bare=$(size "$BARE")
echo "size: $(megabytes "$bare") without models, $(megabytes "$(size "$IMAGE")") with"
[ "$bare" -le "$MOST_BYTES" ] || fail "larger than $(megabytes "$MOST_BYTES") without models"

user=$(docker image inspect --format '{{.Config.User}}' "$IMAGE")
echo "user: $user"
[ "$user" = 65532:65532 ] || fail "the user is $user"

container=$(docker create "$IMAGE")
docker export "$container" | tar -tv >"$work/files"
docker rm "$container" >/dev/null
container=
if grep -E '(^|[ /])(sh|bash|dash|busybox|env|perl|python[0-9.]*|apt|dpkg)$' "$work/files"; then
    fail "a shell or an interpreter is inside"
fi
if grep -E '^-([r-][w-]s|[r-][w-].[r-][w-]s|.{7}w)' "$work/files"; then
    fail "a file is setuid, setgid or writable by all"
fi
echo "files: $(grep -c '^-' "$work/files"), no shell among them"

hardened=(--read-only --cap-drop ALL --security-opt no-new-privileges)
checked=$(docker run --rm "${hardened[@]}" --volume "$PWD/models:/models:ro" "$BARE" \
    serve --config /etc/onnxd/config.toml --check 2>"$work/log") || fail "--check: $(cat "$work/log")"
echo "a mounted folder: $checked"

started=$(date +%s%N)
container=$(docker run --detach "${hardened[@]}" --publish 127.0.0.1::8080 --publish 127.0.0.1::9090 "$IMAGE")
data=$(published 8080)
admin=$(published 9090)
until_true "ready" curl --silent --fail --output /dev/null --max-time 2 "http://$admin/health/ready"
echo "ready $(milliseconds "$started") ms after docker run," \
    "$(milliseconds "$(date --date "$(of '{{.State.StartedAt}}')" +%s%N)") ms after the process's start"

status=/proc/$(of '{{.State.Pid}}')/status
if [ -r "$status" ]; then
    grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' "$status" | tr -s '\t\n' ' '
    echo
    grep -qE '^Uid:\s65532\s' "$status" || fail "the process is not 65532"
    grep -qE '^CapEff:\s0+$' "$status" || fail "the process has capabilities"
fi

answer=$(curl --silent --show-error --fail --max-time 30 "http://$data/predict" \
    --header 'content-type: image/jpeg' --data-binary "@$PHOTO")
echo "a photo: ${answer:0:110}…"
[[ $answer == *'"label":"espresso"'* ]] || fail "the photo is no espresso: $answer"
answer=$(curl --silent --show-error --fail --max-time 30 "http://$data/predict" \
    --header 'content-type: application/json' --data '{"text": "The battery lasts for days, I love it!"}')
echo "a sentence: ${answer:0:110}…"
[[ $answer == *'"result":[{"label":"positive"'* ]] || fail "the sentence is not positive: $answer"

healthy() { [ "$(of '{{.State.Health.Status}}')" = healthy ]; }
until_true "healthy" healthy
echo "health: healthy $(milliseconds "$started") ms after docker run"

started=$(date +%s%N)
docker stop --time 60 "$container" >/dev/null
code=$(of '{{.State.ExitCode}}')
echo "stopped in $(milliseconds "$started") ms with exit code $code"
[ "$code" = 0 ] || fail "exit code $code"
echo "containers: passed"
