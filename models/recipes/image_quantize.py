"""EfficientNet-Lite0 to int8: static, QDQ, a scale per output channel.

On x86 CPUs without VNNI, ONNX Runtime multiplies unsigned 8-bit activations with
signed 8-bit weights by an instruction that adds two neighbouring products in
saturating 16 bits.  So that such CPUs give the same answers as newer ones, the
scales are chosen such that no two neighbouring weights can overflow: their
positive parts sum to at most 128, and so do their negative parts
(255 * 128 < 32768).  Depthwise convolutions do not use that instruction and keep
the full range.  --weights full (all 8 bits) and reduced (7 bits everywhere) are
there for comparison.

The mean error that rounding the weights causes in each output channel is taken
off the biases.

    python image_quantize.py IN.onnx OUT.onnx
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import image_photos
import onnx_tools


class Photos(CalibrationDataReader):
    def __init__(self, photos):
        self.photos = iter(photos)

    def get_next(self):
        photo = next(self.photos, None)
        return None if photo is None else {"input": photo[None]}


def neighbour_sums(rows):
    """The largest sum of two weights that one instruction may add, per row of [out, k]."""
    k = rows.shape[1] // 2 * 2
    return (rows[:, 0:k:2] + rows[:, 1:k:2]).max(1)


def weight_scales(weight, spatial):
    """One scale per output channel of a weight [out, in, ...]."""
    rows = weight.reshape(len(weight), -1)
    positive, negative = np.maximum(rows, 0), np.maximum(-rows, 0)
    if spatial:  # the order of the products depends on the layout: any two may meet
        sums = [np.sort(p, 1)[:, -2:].sum(1) for p in (positive, negative)]
    else:
        sums = [neighbour_sums(p) for p in (positive, negative)]
    # 127, since rounding may add a half to each of the two
    return np.maximum(np.abs(rows).max(1), np.maximum(*sums)) / 127


def overrides(model):
    """Scales for every weight that takes part in matrix products."""
    initializers = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type not in ("Conv", "Gemm") or group > 1:
            continue
        weight = initializers[node.input[1]]
        scales = weight_scales(weight, spatial=weight.ndim == 4 and weight.shape[2] > 1).astype(np.float32)
        found[node.input[1]] = [
            {"quant_type": QuantType.QInt8, "axis": 0, "symmetric": True, "rmin": -127 * s, "rmax": 127 * s}
            for s in scales
        ]
    return found


def input_means(model, photos):
    """Mean of each channel of the inputs of all convolutions and of the last layer."""
    names = sorted({n.input[0] for n in model.graph.node if n.op_type in ("Conv", "Gemm")} - {"input"})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    sums = dict.fromkeys(names + ["input"], 0)
    for photo in photos:
        values = dict(zip(names, session.run(names, {"input": photo[None]})), input=photo[None])
        for name, value in values.items():
            sums[name] = sums[name] + value.reshape(*value.shape[:2], -1).mean(2)[0] / len(photos)
    return sums


def correct_biases(model, quantized, means):
    """Take the expected error of the rounded weights off the biases of `model`."""
    rounded = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    exact = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight = numpy_helper.to_array(exact[node.input[1]])
        scale = rounded[node.input[1] + "_scale"].reshape(-1, *[1] * (weight.ndim - 1))
        error = rounded[node.input[1] + "_quantized"] * scale - weight
        error = error.reshape(*weight.shape[:2], -1).sum(2)
        mean = means[node.input[0]]
        shift = error[:, 0] * mean if weight.shape[1] == 1 else error @ mean
        bias = numpy_helper.to_array(exact[node.input[2]]) - shift
        exact[node.input[2]].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), node.input[2]))


def main(args):
    photos = list(image_photos.calibration_set())
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(args.fp32, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)

        def quantize():
            quantize_static(
                prepared,
                args.out,
                Photos(photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=args.weights == "reduced",
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"TensorQuantOverrides": overrides(model)} if args.weights == "safe" else {},
            )

        quantize()
        if args.correct:
            correct_biases(model, onnx.load(args.out), input_means(model, photos))
            onnx.save(model, prepared)
            quantize()
    onnx_tools.save(onnx.load(args.out), args.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fp32")
    parser.add_argument("out")
    parser.add_argument("--weights", default="safe", choices=["safe", "full", "reduced"])
    parser.add_argument("--no-correction", dest="correct", action="store_false")
    main(parser.parse_args())
