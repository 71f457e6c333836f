#!/usr/bin/env bash
# Brings compose.yaml up and uses it: predicts through the balancer, stops one replica and kills another
# under load, and asks Prometheus for the targets and the rules. Takes everything down again.
#
# ONNXD_IMAGE (onnxd:latest) must be there. HAProxy and Prometheus are made from Debian's packages
# (scripts/compose_images.sh) unless HAPROXY_IMAGE and PROMETHEUS_IMAGE name others. Grafana is no
# Debian package and is not started.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker info >/dev/null 2>&1; then
    echo "SKIPPED: no container engine answers here"
    exit 0
fi
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    echo "SKIPPED: no Compose here"
    exit 0
fi

export ONNXD_IMAGE=${ONNXD_IMAGE:-onnxd:latest}
export HAPROXY_IMAGE=${HAPROXY_IMAGE:-onnxd-test/haproxy} PROMETHEUS_IMAGE=${PROMETHEUS_IMAGE:-onnxd-test/prometheus}
if ! docker image inspect "$ONNXD_IMAGE" >/dev/null 2>&1; then
    echo "no image $ONNXD_IMAGE; build it first" >&2
    exit 1
fi
docker image inspect "$HAPROXY_IMAGE" "$PROMETHEUS_IMAGE" >/dev/null 2>&1 || scripts/compose_images.sh

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
PORT=$(free_port) PROMETHEUS_PORT=$(free_port)
export PORT PROMETHEUS_PORT COMPOSE_PROJECT_NAME=onnxd-check
predict=http://127.0.0.1:$PORT/predict

down() { "${compose[@]}" --profile monitoring down --volumes --timeout 50 >/dev/null 2>&1 || true; }
fail() {
    echo "FAILED: $*" >&2
    "${compose[@]}" --profile monitoring logs --no-color --tail 10 >&2 || true
    exit 1
}
trap down EXIT

# until_true SECONDS COMMAND…: asks again until it is so.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}
# query PROMQL VALUE: does Prometheus answer this?
query() {
    curl -sfG "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1" |
        grep -q "\"value\":\[[0-9.]*,\"$2\"\]"
}
answers() { curl -sf -o /dev/null "$predict" -H 'content-type: application/json' -d '{"text": "It works."}'; }

"${compose[@]}" up -d onnxd haproxy prometheus
until_true 120 answers || fail "no answer through the balancer"
curl -sf "$predict" -H 'content-type: application/json' -d '{"text": "I love it!"}'
echo

until_true 60 query 'count(up{job="onnxd"} == 1)' 3 || fail "Prometheus does not have three targets up"
echo "Prometheus has 3 targets up"
unwell=$(curl -sf "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/rules" | grep -c '"health":"err"' || true)
[ "$unwell" = 0 ] || fail "Prometheus cannot evaluate some rules"

mapfile -t replicas < <("${compose[@]}" ps -q onnxd)
[ "${#replicas[@]}" = 3 ] || fail "${#replicas[@]} replicas"

# under_load NAME COMMAND…: the load begins before the command and ends after it; no request may fail.
under_load() {
    local name=$1 load said status=0 going
    shift
    coproc LOAD { exec python3 tests/k8s/steady_load.py "$predict" 2>&1; }
    load=$LOAD_PID
    # Copies: bash closes its own when the load ends.
    exec 8<&"${LOAD[0]}" 9>&"${LOAD[1]}"
    eval "exec ${LOAD[1]}>&-"
    read -r going <&8
    [ "$going" = going ] || fail "the load does not start: $going"
    "$@"
    exec 9>&-
    said=$(cat <&8)
    wait "$load" || status=$?
    exec 8<&-
    echo "$name: $said"
    [ "$status" = 0 ] || fail "requests failed: $name"
}
stop_one() {
    docker stop --time 50 "${replicas[0]}" >/dev/null
    local code
    code=$(docker inspect --format '{{.State.ExitCode}}' "${replicas[0]}")
    [ "$code" = 0 ] || fail "a stopped replica exits $code"
}
started() { curl -sf -o /dev/null "http://$1:9090/health/ready"; }
start_one() {
    docker start "${replicas[0]}" >/dev/null
    # The inner network has no way out, but this machine is on it.
    local address
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "${replicas[0]}")
    until_true 120 started "$address" || fail "a replica does not come back"
}

under_load "one replica of three stopped" stop_one
under_load "and started again" start_one

# What the killed replica had in work is lost; what comes later is not.
docker kill "${replicas[1]}" >/dev/null
under_load "after one was killed" until_true 60 query 'count(up{job="onnxd"} == 1)' 2

# Every replica got a share.
query 'count(sum by (instance) (onnxd_requests_total{outcome="ok"}) > 0)' '[23]' ||
    fail "the balancer does not ask every replica"
echo passed
