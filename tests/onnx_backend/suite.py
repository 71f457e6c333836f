"""The cases of onnx's backend tests, and what onnxruntime itself makes of each."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Before the import: official builds report sessions to their vendor otherwise.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnx.helper import np_dtype_to_tensor_dtype
from onnxruntime import OrtValue

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

# Element types of ONNX by the protocol's names. Others have none.
DATATYPES = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


class Skip(Exception):
    """Why a case cannot be asked of a server. The reason is counted."""


@dataclass
class Case:
    """A model with its inputs; after `prepare` also with onnxruntime's outputs, all in order."""

    name: str
    network: Path
    data_sets: list[Path]
    rtol: float = 1e-3
    atol: float = 1e-7
    # One list of (name, datatype, array) for each data set.
    inputs: list[list[tuple]] = field(default_factory=list)
    outputs: list[list[tuple]] = field(default_factory=list)


def cases() -> Iterator[Case]:
    """Every model of the package that lies there with its data, by name."""
    for folder in sorted(DATA.glob("*/*/"), key=lambda folder: folder.name):
        network = folder / "model.onnx"
        if network.is_file():
            yield Case(folder.name, network, sorted(folder.glob("test_data_set_*")))
    for network in sorted((DATA / "light").glob("*.onnx")):
        yield Case(network.stem, network, [])


def session(network: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def prepare(case: Case) -> None:
    """Runs the case through onnxruntime and fills in its inputs and outputs.

    Raises Skip where the protocol has no words for it, or onnxruntime fails it.
    """
    model = onnx.load(case.network)
    given = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    for value in [*inputs, *model.graph.output]:
        check_type(value.type)
    try:
        runner = session(case.network)
    except Exception as error:
        raise Skip(f"onnxruntime does not load it: {why(error)}") from error
    outputs = [(output.name, datatype(output)) for output in model.graph.output]
    for feeds, expected in data(case, inputs):
        try:
            got = run(runner, outputs, feeds, expected)
        except Exception as error:
            raise Skip(f"onnxruntime does not run it: {why(error)}") from error
        if not passes(got, expected, case):
            raise Skip("onnxruntime's results are not the suite's")
        case.inputs.append(feeds)
        case.outputs.append([(*output, value) for output, value in zip(outputs, got, strict=True)])


def check_type(value: onnx.TypeProto) -> None:
    kind = value.WhichOneof("value")
    if kind != "tensor_type":
        raise Skip(f"the protocol has no {kind.removesuffix('_type')}s")
    element = value.tensor_type.elem_type
    if element not in DATATYPES:
        raise Skip("the protocol has no such type (floats of 8 bits or less, integers of 4 or less)")


def datatype(value: onnx.ValueInfoProto) -> str:
    return DATATYPES[value.type.tensor_type.elem_type]


def why(error: Exception) -> str:
    """onnxruntime's message in the few words that many cases share."""
    words = str(error)
    for sign, reason in (
        ("Could not find an implementation", "no such operator on the CPU"),
        ("Failed to find kernel", "no such operator on the CPU"),
        ("not a registered function/op", "no such operator"),
        ("locale", "a locale is not installed"),
        ("opset", "operator set too new"),
        ("IR_VERSION", "format too new"),
    ):
        if sign in words:
            return reason
    return "the model or its input is refused"


def data(case: Case, inputs: list[onnx.ValueInfoProto]) -> Iterator[tuple[list, list]]:
    """Of each data set the inputs (name, datatype, array) and the outputs (array)."""
    for folder in case.data_sets:
        values = zip(inputs, arrays(folder, "input"), strict=True)
        yield [(spec.name, datatype(spec), value) for spec, value in values], arrays(folder, "output")
    if case.data_sets:
        return
    # A light model has no inputs with it; onnx's own runner makes them up like this.
    shape = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim]
    size = np.prod(shape)
    dummy = (np.arange(size).reshape(shape) / size).astype(np.float32)
    output = case.network.with_name(f"{case.name}_output_0.pb")
    yield [(inputs[0].name, "FP32", dummy)], [array(output)]


def arrays(folder: Path, prefix: str) -> list[np.ndarray]:
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda f: int(f.stem.split("_")[1]))
    return [array(file) for file in files]


def array(file: Path) -> np.ndarray:
    tensor = TensorProto.FromString(file.read_bytes())
    value = numpy_helper.to_array(tensor)
    if tensor.data_type != TensorProto.STRING:
        return value
    text = [element.decode() for element in tensor.string_data]
    return np.array(text, dtype=object).reshape(value.shape)


def run(
    runner: onnxruntime.InferenceSession, outputs: list[tuple], feeds: list[tuple], expected: list[np.ndarray]
) -> list[np.ndarray]:
    """The values of the outputs, which are given as (name, datatype)."""
    names = [name for name, _ in outputs]
    if not any(datatype == "BF16" for _, datatype, *_ in [*outputs, *feeds]):
        values = {name: value for name, _, value in feeds}
        return [np.asarray(output) for output in runner.run(names, values)]
    # onnxruntime's Python takes and gives no arrays of BF16, so that they go by their bits.
    binding = runner.io_binding()
    for name, datatype, value in feeds:
        if datatype == "BF16":
            bits = value.view(np.uint16)
            value = OrtValue.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)
            binding.bind_ortvalue_input(name, value)
        else:
            binding.bind_cpu_input(name, value)
    got = [np.empty(want.shape, want.dtype) for want in expected]
    for (name, _), value in zip(outputs, got, strict=True):
        element = np_dtype_to_tensor_dtype(value.dtype)
        binding.bind_output(name, "cpu", 0, element, value.shape, value.ctypes.data)
    runner.run_with_iobinding(binding)
    return got


def passes(got: list[np.ndarray], expected: list[np.ndarray], case: Case) -> bool:
    """By the suite's own rule."""
    if len(got) != len(expected):
        return False
    for have, want in zip(got, expected, strict=True):
        if have.shape != want.shape:
            return False
        if want.dtype == object:
            if not np.array_equal(have, want):
                return False
        elif have.dtype != want.dtype:
            return False
        elif not np.allclose(
            have.astype(np.float64), want.astype(np.float64), case.rtol, case.atol, equal_nan=True
        ):
            return False
    return True
