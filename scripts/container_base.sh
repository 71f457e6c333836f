#!/usr/bin/env bash
# Makes onnxd-test/debian:bookworm and, from it, onnxd-test/rust: builder images for a machine that
# can pull none. Debian's packages come from where this machine's apt gets them; the Rust toolchain,
# certificates and pip's and apt's settings are this machine's. For tests only, never for a release.
# Does nothing where both are there. Usage: container_base.sh
set -euo pipefail

readonly DEBIAN=onnxd-test/debian:bookworm RUST=onnxd-test/rust
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { docker image inspect "$1" >/dev/null 2>&1; }

make_debian() {
    if ! command -v debootstrap >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    fi
    local mirror
    # None found: debootstrap's own default.
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "bookworm" && !found { print $3; found = 1 }')
    debootstrap --variant=minbase bookworm "$work/root" ${mirror:+"$mirror"} >"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        return 1
    }
    rm -rf "$work"/root/var/cache/apt/*.bin "$work"/root/var/cache/apt/archives/*.deb
    tar -C "$work/root" -c . | docker import --change 'CMD ["bash"]' - "$DEBIAN" >/dev/null
}

make_rust() {
    local sysroot=$1 toolchain=$2
    mkdir -p "$work/settings/etc/apt/apt.conf.d" "$work/settings/etc/ssl/certs"
    apt-config dump | grep -iE '^Acquire::.*proxy' >"$work/settings/etc/apt/apt.conf.d/90proxy" || true
    cp /etc/ssl/certs/ca-certificates.crt "$work/settings/etc/ssl/certs/"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$work/settings/etc/"
    cat >"$work/Dockerfile" <<DOCKERFILE
FROM $DEBIAN
COPY settings/etc/apt /etc/apt
RUN apt-get update -qq \\
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \\
        ca-certificates gcc libc6-dev python3 python3-pip >/dev/null \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
COPY settings /
COPY bin /usr/local/bin
COPY lib /usr/local/lib
ENV CARGO_HOME=/usr/local/cargo
RUN mkdir -p /usr/local/cargo && rustc --version && cargo --version
LABEL onnxd-test.toolchain="$toolchain"
DOCKERFILE
    tar -c -C "$work" Dockerfile settings -C "$sysroot" bin/cargo bin/rustc lib |
        docker build --quiet --network host --tag "$RUST" - >/dev/null
}

has "$DEBIAN" || make_debian
sysroot=$(rustc --print sysroot)
toolchain=$(rustc --version)
of_image='{{index .Config.Labels "onnxd-test.toolchain"}}'
if ! has "$RUST" || [ "$(docker image inspect --format "$of_image" "$RUST")" != "$toolchain" ]; then
    make_rust "$sysroot" "$toolchain"
fi
echo "$RUST: $toolchain on Debian bookworm"
