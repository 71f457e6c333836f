"""The loop that people write with Pillow, numpy and onnxruntime, for `benches/image.rs`.

Each line on stdin is `full PATH` or `draft PATH`: the photo is decoded (with `draft` at the smallest
scale that Pillow's `Image.draft` finds large enough), resized, cropped, normalised and run. The
answer on stdout is the processor time in milliseconds, and the best class.

    pillow_loop.py MODEL.onnx
"""

import sys
import time

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

RESIZE, SIZE = 256, 224
MEAN, SCALE = np.float32(127), np.float32(1 / 128)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def pixels(data, draft):
    image = Image.open(data)
    if draft:
        image.draft("RGB", (RESIZE, RESIZE))
    image = ImageOps.exif_transpose(image).convert("RGB")
    short, long = sorted(image.size)
    long = RESIZE * long // short
    width, height = (RESIZE, long) if image.width <= image.height else (long, RESIZE)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(image.crop((left, top, left + SIZE, top + SIZE))).astype(np.float32)
    values -= MEAN
    values *= SCALE
    return np.ascontiguousarray(values.transpose(2, 0, 1))[None]


def main():
    network = session(sys.argv[1])
    name = network.get_inputs()[0].name
    print("ready", flush=True)
    for line in sys.stdin:
        mode, path = line.rstrip("\n").split(" ", 1)
        with open(path, "rb") as data:
            data.read()  # the page cache is warm, as is a request's body
            data.seek(0)
            start = time.process_time()
            scores = network.run(None, {name: pixels(data, mode == "draft")})[0]
            best = int(scores[0].argmax())
            spent = time.process_time() - start
        print(f"{spent * 1e3:.4f} {best}", flush=True)


main()
