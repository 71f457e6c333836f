#!/usr/bin/env bash
# Scrapes a running onnxd with a real Prometheus that has the rules of k8s/: every request's kind is
# counted, no rule fails, and the names are those that k8s/ is written against.
#
# Usage: metrics_check.sh [BINARY]    BINARY: target/release/onnxd by default
#
# As root, a missing Prometheus is installed from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian_tools.sh

binary=${1:-target/release/onnxd}
here=target/metrics-check
rm -rf "$here"
mkdir -p "$here"
debian_tools "$here/apt.log" prometheus=prometheus promtool=prometheus

running=()
trap '[ ${#running[@]} = 0 ] || { kill "${running[@]}" 2>/dev/null; wait "${running[@]}"; } || true' EXIT
fail() {
    echo "FAILED: $*" >&2
    tail -n 5 "$here"/*.log >&2 || true
    exit 1
}
# until_true SECONDS COMMAND…: asks again until it is so, as long as all that was started runs.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        kill -0 "${running[@]}" 2>/dev/null && ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
command -v prometheus >/dev/null || fail "Prometheus is not installed"
[ -x "$binary" ] || fail "no binary $binary; build it first"

read -r data admin prometheus < <(python3 -c '
import socket
probes = [socket.socket() for _ in range(3)]
for probe in probes: probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))')

ONNXD_SERVER__LISTEN=127.0.0.1:$data ONNXD_ADMIN__LISTEN=127.0.0.1:$admin "$binary" serve >"$here/onnxd.log" 2>&1 &
running+=($!)
until_true 90 curl -sf -o /dev/null "http://127.0.0.1:$admin/health/ready" || fail "onnxd does not get ready"

# ask STATUS PATH TYPE BODY: a request that must have this status.
ask() {
    local status
    status=$(curl -s -o "$here/answer" -w '%{http_code}' --max-time 60 "http://127.0.0.1:$data$2" \
        -H "content-type: $3" --data-binary "$4")
    [ "$status" = "$1" ] || fail "$2 answers $status, not $1: $(cat "$here/answer")"
}
json=application/json
ask 200 /predict image/jpeg @tests/fixtures/images/jpeg-coffee.jpg
ask 200 /predict $json '{"text": ["I love it!", "It broke after a week."]}'
ask 200 /predict/sentiment-tfidf text/plain 'It works.'
ask 200 /predict/iris $json '{"features": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}'
ask 422 /predict/iris $json '{"features": [[5.1, "wide", 1.4, 0.2]]}'
ask 400 /predict/iris $json '{"features": [[5.1'
ask 404 /predict/nobody $json '{"text": "It works."}'
ask 415 /predict/iris text/csv '5.1,3.5,1.4,0.2'

scrape=$here/scrape.prom
curl -sf "http://127.0.0.1:$admin/metrics" >"$scrape" || fail "/metrics does not answer"
said=$(promtool check metrics <"$scrape" 2>&1) && [ -z "$said" ] || fail "promtool check metrics: $said"
echo "promtool check metrics: clean, $(grep -cv '^#' "$scrape") series in $(grep -c '^# TYPE' "$scrape") families"

cp k8s/prometheus/rules.yaml "$here/"
cat >"$here/prometheus.yaml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: onnxd
    static_configs: [{targets: ["127.0.0.1:$admin"]}]
END
prometheus --config.file="$here/prometheus.yaml" --storage.tsdb.path="$here/data" \
    --web.listen-address="127.0.0.1:$prometheus" >"$here/prometheus.log" 2>&1 &
running+=($!)
api=http://127.0.0.1:$prometheus/api/v1

# query PROMQL LEAST: does Prometheus answer at least so many series?
query() {
    curl -sfG "$api/query" --data-urlencode "query=$1" 2>/dev/null |
        python3 -c 'import json, sys
answer = sys.stdin.read()
sys.exit(not answer or len(json.loads(answer)["data"]["result"]) < int(sys.argv[1]))' "$2"
}
until_true 60 query 'up{job="onnxd"} == 1' 1 || fail "Prometheus does not have the target up"
for asked in 'onnxd_requests_total{outcome="ok"} >= 1=4' 'onnxd_requests_total{outcome="invalid"}=1' \
    'onnxd_requests_total{model="(none)"}=1' 'onnxd_saturation=4' 'onnxd_predictions_total=4' \
    'model:onnxd_requests:rate5m=4' 'model:onnxd_saturation:max5m=4'; do
    until_true 30 query "${asked%=*}" "${asked##*=}" || fail "Prometheus has fewer than ${asked##*=} of ${asked%=*}"
done

# rules: how many there are, once each has been evaluated; says which are not well.
rules() {
    curl -sf "$api/rules" | python3 -c 'import json, sys
rules = [rule for group in json.load(sys.stdin)["data"]["groups"] for rule in group["rules"]]
if any(rule["health"] == "unknown" for rule in rules):
    sys.exit(1)
for rule in rules:
    if rule["health"] != "ok":
        print("UNWELL", rule["name"], rule.get("lastError"))
    if rule.get("alerts"):
        print("FIRES", rule["name"], rule["alerts"][0]["labels"])
print(len(rules), "rules evaluate")' >"$here/rules"
}
until_true 30 rules || fail "Prometheus has not evaluated every rule"
! grep -E '^(UNWELL|FIRES)' "$here/rules" || fail "a rule fails, or an alert fires in peace"
echo "$(prometheus --version 2>&1 | sed -n '1s/ (.*//p'): the target is up, $(cat "$here/rules"), no alert"

scripts/check_k8s.sh --metrics "$scrape"
echo passed
