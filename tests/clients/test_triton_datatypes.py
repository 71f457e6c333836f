"""Every datatype and kind of shape, there and back through tritonclient."""

import ml_dtypes
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from triton import texts


def extremes(dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.array([[limits.min, 0, 1], [limits.max - 1, limits.max, 7]], dtype)


INTEGERS = {
    name: extremes(dtype)
    for name, dtype in (
        ("uint8", np.uint8), ("uint16", np.uint16), ("uint32", np.uint32), ("uint64", np.uint64),
        ("int8", np.int8), ("int16", np.int16), ("int32", np.int32), ("int64", np.int64),
    )
}
# The least and the largest of each type, a subnormal, and a number without a short decimal form.
FLOATS = {
    "fp32": np.array([[np.finfo(np.float32).max, 1e-45, -0.0], [0.1, np.finfo(np.float32).min, 1]], np.float32),
    "fp64": np.array([[np.finfo(np.float64).max, 5e-324, -0.0], [0.1, 2**53 + 2, 1 / 3]], np.float64),
}
HALVES = {
    "fp16": np.array([[65504, 6e-8, -0.0], [0.1, np.nan, -np.inf]], np.float16),
    "bf16": np.array([[3.3e38, 1e-40, -0.0], [0.1, np.nan, np.inf]], ml_dtypes.bfloat16),
}
BOOL = np.array([[True, False], [False, False]])


def identity(transport, datatype: str, array: np.ndarray):
    return transport.infer(f"identity-{datatype}", {"x": array}, ["y"]).as_numpy("y")


def same(got: np.ndarray, sent: np.ndarray) -> None:
    """To the bit, so that -0.0 is not 0.0 and NaN is NaN."""
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert got.tobytes() == sent.tobytes()


@pytest.mark.parametrize("datatype", [*INTEGERS, *FLOATS, "bool"])
def test_every_value_comes_back_as_it_went(transport, datatype):
    sent = BOOL if datatype == "bool" else (INTEGERS | FLOATS)[datatype]
    same(identity(transport, datatype, sent), sent)


@pytest.mark.parametrize("datatype", HALVES)
def test_half_floats_come_back(client, datatype):
    same(identity(client, datatype, HALVES[datatype]), HALVES[datatype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity_go_in_binary(client, dtype):
    sent = np.array([[np.nan, np.inf, -np.inf]], dtype)
    same(identity(client, "fp32" if dtype is np.float32 else "fp64", sent), sent)


def test_nan_has_no_json_and_is_not_passed_off_as_a_number(http):
    tensor = http.input("x", np.array([[np.nan]], np.float32))
    wanted = http.module.InferRequestedOutput("y", binary_data=False)
    with pytest.raises(InferenceServerException, match="(?i)finite|nan"):
        http.client.infer("identity-fp32", [tensor], outputs=[wanted])


def test_half_floats_may_be_json(http):
    sent = np.array([[65504, 0.1, -0.0]], np.float16)
    tensor = http.module.InferInput("x", [1, 3], "FP16")
    tensor.set_data_from_numpy(sent, binary_data=False)
    wanted = http.module.InferRequestedOutput("y", binary_data=False)
    same(http.client.infer("identity-fp16", [tensor], outputs=[wanted]).as_numpy("y"), sent)


def test_strings_come_back(transport):
    sent = np.array([["", "plain", "naïve — 日本語 🦀"], ["two\nlines", '"quoted"', "\\"]], object)
    assert texts(identity(transport, "bytes", sent)) == sent.tolist()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("datatype, dtype", [("fp32", np.float32), ("int64", np.int64), ("bytes", object)])
def test_an_axis_may_be_empty(transport, datatype, dtype, shape):
    got = identity(transport, datatype, np.zeros(shape, dtype))
    assert got.shape == shape


def test_a_scalar_has_no_axes(transport):
    got = transport.infer("scalar", {"x": np.array(41, np.float32)}, ["y"]).as_numpy("y")
    assert (got.shape, float(got)) == ((), 42.0)


def test_several_inputs_and_outputs_of_several_types(transport):
    arrays = {
        "text": np.array(["a", "b", "c"], object),
        "floats": np.arange(24, dtype=np.float32).reshape(3, 2, 4),
        "scale": np.array(0.5, np.float32),
        "flags": np.array([True, False]),
    }
    result = transport.infer("mixed", arrays, ["same", "scaled", "flipped"])
    assert texts(result.as_numpy("same")) == ["a", "b", "c"]
    np.testing.assert_array_equal(result.as_numpy("scaled"), arrays["floats"] / 2)
    np.testing.assert_array_equal(result.as_numpy("flipped"), [False, True])


def test_inputs_come_in_any_order(transport):
    arrays = {
        "INPUT1": np.ones((2, 16), np.int32),
        "INPUT0": np.arange(32, dtype=np.int32).reshape(2, 16),
    }
    result = transport.infer("sum-difference", arrays, ["OUTPUT1", "OUTPUT0"])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), arrays["INPUT0"] + 1)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), arrays["INPUT0"] - 1)


def test_a_network_may_have_a_fixed_first_axis(transport):
    sent = np.arange(12, dtype=np.float32).reshape(4, 3)
    got = transport.infer("fixed", {"x": sent}, ["y"]).as_numpy("y")
    np.testing.assert_array_equal(got, sent.sum(axis=1))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (1, 2, 3, 2)])
def test_a_network_may_leave_the_rank_open(transport, shape):
    sent = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    result = transport.infer("anyshape", {"x": sent}, ["shape", "y"])
    assert result.as_numpy("shape").tolist() == list(shape)
    np.testing.assert_array_equal(result.as_numpy("y"), -sent)


def test_outputs_may_have_shapes_of_their_own(transport):
    sent = np.array([[0, 1, 0], [2, 0, 3]], np.float32)
    got = transport.infer("nonzero", {"x": sent}, ["where"]).as_numpy("where")
    np.testing.assert_array_equal(got, np.stack(np.nonzero(sent)))


def test_json_and_binary_mix_in_one_request(http):
    arrays = {
        "INPUT0": np.arange(16, dtype=np.int32).reshape(1, 16),
        "INPUT1": np.ones((1, 16), np.int32),
    }
    plain, packed = (http.module.InferInput(name, [1, 16], "INT32") for name in arrays)
    plain.set_data_from_numpy(arrays["INPUT0"], binary_data=False)
    packed.set_data_from_numpy(arrays["INPUT1"], binary_data=True)
    outputs = [
        http.module.InferRequestedOutput("OUTPUT0", binary_data=True),
        http.module.InferRequestedOutput("OUTPUT1", binary_data=False),
    ]
    result = http.client.infer("sum-difference", [plain, packed], outputs=outputs)
    assert "binary_data_size" in result.get_output("OUTPUT0")["parameters"]
    assert isinstance(result.get_output("OUTPUT1")["data"], list)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), arrays["INPUT0"] + 1)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), arrays["INPUT0"] - 1)
