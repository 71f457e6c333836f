"""Wrong requests: each is an InferenceServerException that names what is wrong."""


import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from onnxd import eventually

GOOD = {"INPUT0": np.ones((1, 16), np.int32), "INPUT1": np.ones((1, 16), np.int32)}
INVALID = {"400", "422", "StatusCode.INVALID_ARGUMENT"}
NOT_FOUND = {"404", "StatusCode.NOT_FOUND"}


def refusal(transport, inputs: list, *words: str, model: str = "sum-difference", **options) -> str:
    """The status of the refusal, whose message holds these words."""
    with pytest.raises(InferenceServerException) as refused:
        transport.client.infer(model, inputs, **options)
    message = refused.value.message()
    for word in words:
        assert word in message, message
    return refused.value.status()


def test_an_unknown_model(transport):
    assert refusal(transport, transport.inputs(GOOD), "nobody", model="nobody") in NOT_FOUND


def test_an_unknown_version(transport):
    status = refusal(transport, transport.inputs(GOOD), "99", model_version="99")
    assert status in NOT_FOUND


def test_an_unknown_input_is_named_with_what_there_is(transport):
    inputs = transport.inputs({"INPUT0": GOOD["INPUT0"], "INPUT7": GOOD["INPUT1"]})
    assert refusal(transport, inputs, "INPUT7", "INPUT1") in INVALID


def test_a_missing_input_is_named(transport):
    assert refusal(transport, transport.inputs({"INPUT0": GOOD["INPUT0"]}), "INPUT1") in INVALID


def test_an_input_given_twice(transport):
    inputs = [*transport.inputs(GOOD), transport.input("INPUT0", GOOD["INPUT0"])]
    assert refusal(transport, inputs, "INPUT0") in INVALID


def test_an_unknown_output_is_named(transport):
    outputs = [transport.output("OUTPUT9")]
    assert refusal(transport, transport.inputs(GOOD), "OUTPUT9", outputs=outputs) in INVALID


def test_an_axis_of_the_wrong_length(transport):
    inputs = transport.inputs(GOOD | {"INPUT1": np.ones((1, 15), np.int32)})
    assert refusal(transport, inputs, "INPUT1", "16", "15") in INVALID


def test_a_wrong_rank(transport):
    inputs = transport.inputs(GOOD | {"INPUT1": np.ones((1, 16, 1), np.int32)})
    assert refusal(transport, inputs, "INPUT1") in INVALID


def test_inputs_that_do_not_agree(transport):
    """Only the network sees this: 3 rows and 2 rows do not add up."""
    inputs = transport.inputs({"INPUT0": np.ones((3, 16), np.int32), "INPUT1": np.ones((2, 16), np.int32)})
    with pytest.raises(InferenceServerException):
        transport.client.infer("sum-difference", inputs)
    result = transport.infer("sum-difference", GOOD, ["OUTPUT0"])
    assert result.as_numpy("OUTPUT0").tolist() == [[2] * 16]


def test_a_wrong_datatype(transport):
    inputs = transport.inputs(GOOD | {"INPUT1": np.ones((1, 16), np.float32)})
    assert refusal(transport, inputs, "INPUT1", "INT32", "FP32") in INVALID


def test_a_datatype_that_does_not_exist(transport):
    inputs = [transport.input("INPUT0", GOOD["INPUT0"]),
              transport.input("INPUT1", GOOD["INPUT1"], datatype="INT128")]
    assert refusal(transport, inputs, "INPUT1", "INT128") in INVALID


@pytest.mark.parametrize("extra", [-4, 4])
def test_bytes_that_do_not_fit_the_shape(client, extra):
    inputs = client.inputs(GOOD)
    raw = b"\1" * (64 + extra)
    if client.grpc:
        inputs[1]._raw_content = raw
    else:
        inputs[1]._raw_data = raw
        inputs[1]._parameters["binary_data_size"] = len(raw)
    assert refusal(client, inputs, "INPUT1", "64", str(64 + extra)) in INVALID


def test_a_size_that_the_body_does_not_have(http):
    inputs = http.inputs(GOOD)
    inputs[1]._parameters["binary_data_size"] = 2**62
    assert refusal(http, inputs, "INPUT1") in INVALID


def test_a_shape_whose_product_overflows(client):
    inputs = client.inputs(GOOD)
    inputs[1].set_shape([2**62, 2**62])
    assert refusal(client, inputs, "INPUT1") in INVALID


def test_strings_whose_lengths_lie(client):
    tensor = client.input("x", np.array([["ab"]], object))
    raw = b"\xff\xff\xff\xffab"
    if client.grpc:
        tensor._raw_content = raw
    else:
        tensor._raw_data = raw
    assert refusal(client, [tensor], "x", model="identity-bytes") in INVALID


def test_too_few_numbers_in_json(http):
    tensor = http.module.InferInput("x", [2, 2], "FP32")
    tensor._data = [1.0, 2.0, 3.0]
    assert refusal(http, [tensor], "x", "4", "3", model="identity-fp32") in INVALID


def test_a_number_that_its_type_does_not_have(http):
    for datatype, number in (("uint8", 256), ("int8", -129), ("int64", 2**63), ("uint64", -1), ("int32", 1.5)):
        tensor = http.module.InferInput("x", [1, 1], datatype.upper())
        tensor._data = [number]
        assert refusal(http, [tensor], "x", model=f"identity-{datatype}") in INVALID


def slow(transport, turns: int) -> list:
    return [transport.input("turns", np.array(turns, np.int64))]


def test_a_request_may_say_how_long_it_waits(client):
    status = refusal(client, slow(client, 2**40), model="slow", timeout=300_000)
    assert status in ("504", "StatusCode.DEADLINE_EXCEEDED")
    assert client.client.infer("slow", slow(client, 2)).as_numpy("sum") == 128


def test_a_client_may_stop_waiting(onnxd, grpc, http):
    with pytest.raises(InferenceServerException) as late:
        grpc.client.infer("slow", slow(grpc, 2**40), client_timeout=0.3)
    assert late.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    impatient = http.module.InferenceServerClient(onnxd.data, network_timeout=0.3)
    with pytest.raises(Exception, match="(?i)time"):
        impatient.infer("slow", slow(http, 2**40))
    # Nobody waits for these runs any more, so that they end and the model is free.
    assert grpc.client.infer("slow", slow(grpc, 3)).as_numpy("sum") == 128


def test_a_cancelled_request_ends(grpc):
    answers = []
    call = grpc.client.async_infer("slow", slow(grpc, 2**40), lambda result, error: answers.append(error))
    call.cancel()
    eventually(lambda: answers)
    assert "cancel" in str(answers[0]).lower()
    assert grpc.client.infer("slow", slow(grpc, 4)).as_numpy("sum") == 128
