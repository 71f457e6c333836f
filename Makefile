# Two commands do everything: `make run` and `make test`.

ONNXRUNTIME := .onnxruntime/libonnxruntime.so
# DEVICE=cuda fetches ONNX Runtime for NVIDIA GPUs as well, and serves on the GPU.
CUDA := .onnxruntime/cuda/libonnxruntime.so
PYTHON ?= python3
DEVICE ?=
ARGS ?=

GPU := $(or $(findstring cuda,$(DEVICE)),$(findstring tensorrt,$(DEVICE)))

.PHONY: run test setup build bench format lint

## Set up, build, and serve the bundled models on 127.0.0.1:8080. ARGS="--listen …" adds flags.
run: build
	@exec target/release/onnxd serve $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

## Set up and run every test.
test: setup
	cargo test --release --locked

build: setup
	cargo build --release --locked

## Fetch ONNX Runtime (pinned, checked by SHA-256) into .onnxruntime/.
setup: $(ONNXRUNTIME) $(if $(GPU),$(CUDA))

$(ONNXRUNTIME): scripts/fetch_onnxruntime.py
	$(PYTHON) scripts/fetch_onnxruntime.py $@

$(CUDA): scripts/fetch_cuda.py
	$(PYTHON) scripts/fetch_cuda.py $(@D)

bench: setup
	cargo bench --locked

format:
	cargo fmt

lint:
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
