#!/usr/bin/env bash
# Makes images of HAProxy and Prometheus from Debian's packages, for places where none can be pulled:
# onnxd-test/haproxy and onnxd-test/prometheus. Not for production.
# Needs the image that scripts/container_base.sh makes.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${DEBIAN_IMAGE:-onnxd-test/debian:bookworm}
docker image inspect "$base" >/dev/null 2>&1 || scripts/container_base.sh

# image NAME PACKAGE COMMAND…: the package on top of the base, then the command.
image() {
    local name=$1 package=$2 command=$3
    docker build --quiet --network host --tag "onnxd-test/$name" - <<EOF
FROM $base
RUN apt-get update -q && apt-get install -qy --no-install-recommends $package \
    && rm -rf /var/lib/apt/lists/* && $command
EOF
}

image haproxy haproxy "mkdir -p /etc/onnxd"
# The folder of the data belongs to the user that compose.yaml names, as in the published image.
image prometheus prometheus "mkdir -p /prometheus && chown 65534:65534 /prometheus"
