"""Networks that packages of PyPI carry: real ones, for measuring only."""

import functools
import importlib.util
import shutil
from pathlib import Path

import common
import deep_tensors

REQUIREMENTS = "real"

VOICE = {"=input": [1, 512], "*": 1}
FILES = {
    # Name: (module, file inside of it, package, sizes of the open axes, words at the start)
    "magika": ("magika", "models/standard_v3_3/model.onnx", "magika", {}, ()),
    "nudenet": ("nudenet", "320n.onnx", "nudenet", {"batch": 1, "*": 320}, ("detects objects",)),
    "rapidocr-detector": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", "rapidocr-onnxruntime",
                          {"batch": 1, "*": 64}, ()),
    "rapidocr-reader": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", "rapidocr-onnxruntime",
                        {"batch": 1, "*": 48}, ()),
    "silero-vad": ("silero_vad", "data/silero_vad_16k_op15.onnx", "silero-vad", VOICE, ("takes audio",)),
    "silero-vad-opset-16": ("silero_vad", "data/silero_vad.onnx", "silero-vad", VOICE, ("takes audio",)),
    "silero-vad-without-if": ("silero_vad", "data/silero_vad_op18_ifless.onnx", "silero-vad", VOICE, ("takes audio",)),
    "silero-vad-half": ("silero_vad", "data/silero_vad_half.onnx", "silero-vad", VOICE, ()),
}  # fmt: skip


def build(folder, module, file, sizes, says):
    # Found without running the package's own code, which may want more than its network.
    home = Path(importlib.util.find_spec(module).submodule_search_locations[0])
    shutil.copy(home / file, folder / "model.onnx")
    made = {"requests": deep_tensors.through(folder, sizes=sizes)}
    return made | ({"says": list(says)} if says else {})


def cases():
    for name, (module, file, package, sizes, says) in FILES.items():
        yield common.case(
            "wheels", name, functools.partial(build, module=module, file=file, sizes=sizes, says=says),
            family="networks in packages", task=["tensors", "tabular-classification"] if name == "magika" else "tensors", made_with=(package,), tolerance=1e-3,
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)
