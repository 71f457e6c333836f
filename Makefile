# Two commands do everything: `make run` and `make test`.

ONNXRUNTIME := .onnxruntime/libonnxruntime.so
# DEVICE=cuda fetches ONNX Runtime for NVIDIA GPUs as well, and serves on the GPU.
CUDA := .onnxruntime/cuda/libonnxruntime.so
PYTHON ?= python3
DEVICE ?=
ARGS ?=
LOAD ?=

GPU := $(or $(findstring cuda,$(DEVICE)),$(findstring tensorrt,$(DEVICE)))

.PHONY: run test setup build bench peers format lint

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

## Measure onnxd against services written by hand, in Python out of benches/peers. LOAD=text: with texts.
peers: setup
	scripts/peers.sh $(LOAD)

format:
	cargo fmt

lint:
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
