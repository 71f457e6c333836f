# onnxd on the CPU: the binary, ONNX Runtime, the system's libraries that they need, and no more.
#
#   docker build -t onnxd .
#   docker run --read-only --cap-drop ALL -p 8080:8080 onnxd
#
# Without the bundled models, for a folder that is mounted at /models: --target bare.
# Behind a mirror: --build-arg PIP_INDEX_URL=…, --build-arg CARGO_CONFIG="$(cat config.toml)", and a
# BUILDER_IMAGE that has Rust, a C compiler and pip, so that no Debian package is fetched. These stay
# in the build stage. Needs no BuildKit: dependencies are a layer, not a mounted cache.
ARG BUILDER_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=scratch
# The folder of models, within the build context.
ARG MODELS=models

FROM ${BUILDER_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN python3 -m pip --version || { \
        apt-get update; \
        apt-get install --yes --no-install-recommends python3 python3-pip; \
        rm -rf /var/lib/apt/lists/*; \
    }
WORKDIR /build

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY scripts/fetch_onnxruntime.py scripts/
RUN python3 scripts/fetch_onnxruntime.py .onnxruntime/libonnxruntime.so

ARG CARGO_CONFIG
RUN [ -z "${CARGO_CONFIG:-}" ] \
    || printf '%s\n' "$CARGO_CONFIG" >"${CARGO_HOME:-$HOME/.cargo}/config.toml"
# Stand-ins for the sources build the dependencies, so that a change of the sources does not.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
# What is built once and run often is optimised as a whole, which takes two minutes more.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_LTO=fat
RUN mkdir src benches; \
    echo 'fn main() {}' >src/main.rs; \
    touch src/lib.rs; \
    sed -n '/^\[\[bench/,/^$/ s/^name = "\(.*\)"/\1/p' Cargo.toml \
        | while read -r name; do touch "benches/$name.rs"; done; \
    cargo build --release --locked
COPY config/default.toml config/
COPY src src
# Cargo goes by time, and a checkout's files may be older than the stand-ins.
RUN touch src/main.rs src/lib.rs; \
    cargo build --release --locked

# Everything but the models, as it will lie in the image. ldd names the libraries and the loader;
# the links are those of a merged /usr, so that the files fit upon a RUNTIME_IMAGE of Debian's as well.
RUN mkdir -p /image/system/etc /image/system/usr/lib /image/system/usr/lib64; \
    mkdir -p /image/onnxd/opt/onnxd /image/onnxd/models; \
    ln -s usr/lib usr/lib64 /image/system/; \
    install -m 0755 target/release/onnxd .onnxruntime/libonnxruntime.so /image/onnxd/opt/onnxd/; \
    ldd /image/onnxd/opt/onnxd/* >libraries; \
    if grep 'not found' libraries; then exit 1; fi; \
    awk '$2 == "=>" { print $3 } NF == 2 && /^\t\// { print $1 }' libraries | sort -u \
        | xargs cp --dereference --parents --target-directory /image/system; \
    echo 'nonroot:x:65532:65532::/nonexistent:/nonexistent' >/image/system/etc/passwd; \
    echo 'nonroot:x:65532:' >/image/system/etc/group; \
    cp /etc/os-release /etc/debian_version /image/system/etc/; \
    for package in libc6 libgcc-s1 libstdc++6; do \
        cp --dereference --parents "/usr/share/doc/$package/copyright" /image/system; \
    done
COPY config/production.toml /image/onnxd/etc/onnxd/config.toml
RUN chmod -R a+rX /image

# Apart from the build, so that neither waits for the other; readable, whatever the checkout's umask.
FROM ${BUILDER_IMAGE} AS models
ARG MODELS
COPY ${MODELS} /models
RUN chmod -R a+rX /models

FROM ${RUNTIME_IMAGE} AS bare
COPY --from=build /image/system /
COPY --from=build /image/onnxd /
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/onnxd/onnxd", "health", "--config", "/etc/onnxd/config.toml"]
ENTRYPOINT ["/opt/onnxd/onnxd"]
CMD ["serve", "--config", "/etc/onnxd/config.toml"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="onnxd" \
      org.opencontainers.image.description="HTTP inference server for ONNX models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM bare AS onnxd
COPY --from=models /models /models
