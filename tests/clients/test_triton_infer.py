"""The options of a request, and the client's several ways to ask."""

import asyncio
import queue

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from triton import texts

ROWS = {
    "INPUT0": np.arange(16, dtype=np.int32).reshape(1, 16),
    "INPUT1": np.full((1, 16), 3, np.int32),
}


def test_the_answer_has_the_requests_id_and_names_the_model(transport):
    answer = transport.infer("sum-difference", ROWS, ["OUTPUT0"], request_id="a-7").get_response(**transport.json())
    assert answer["id"] == "a-7"
    assert answer["model_name"] == "sum-difference"
    assert answer["model_version"] == "1"


def test_a_version_may_be_named(transport):
    result = transport.infer("sum-difference", ROWS, ["OUTPUT0"], model_version="1")
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ROWS["INPUT0"] + 3)


def test_only_the_requested_outputs_come(transport):
    result = transport.infer("sum-difference", ROWS, ["OUTPUT1"])
    assert result.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), ROWS["INPUT0"] - 3)


def test_without_a_request_all_outputs_come(client):
    result = client.client.infer("sum-difference", client.inputs(ROWS))
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ROWS["INPUT0"] + 3)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), ROWS["INPUT0"] - 3)


def test_priority_and_unknown_parameters_are_taken(transport):
    options = {"priority": 1, "timeout": 20_000_000, "parameters": {"note": "x", "count": 3}}
    result = transport.infer("sum-difference", ROWS, ["OUTPUT0"], **options)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ROWS["INPUT0"] + 3)


def test_the_best_classes_come_with_value_and_index(transport):
    logits = np.array([[0, 3, 1, 2, -1], [5, 0, 0, 0, 4]], np.float32)
    outputs = [transport.output("probabilities", class_count=2)]
    result = transport.client.infer("scores", transport.inputs({"logits": logits}), outputs=outputs)
    best = texts(result.as_numpy("probabilities"))
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exp / exp.sum(axis=1, keepdims=True)
    for row, (entries, expected) in enumerate(zip(best, [[1, 3], [0, 4]], strict=True)):
        for entry, index in zip(entries, expected, strict=True):
            score, number = entry.split(":")
            assert int(number) == index
            assert float(score) == pytest.approx(probabilities[row, index], abs=1e-5)


def test_classes_have_their_names_where_the_model_has_them(transport):
    sentence = {"text": np.array(["I love it!"], object)}
    outputs = [transport.output("label", class_count=3)]
    result = transport.client.infer("sentiment-minilm", transport.inputs(sentence), outputs=outputs)
    (best,) = texts(result.as_numpy("label"))
    assert best[0].endswith(":positive")
    assert len(best) == 3


def test_requests_may_overlap(http):
    pending = [
        http.client.async_infer("sum-difference", http.inputs({**ROWS, "INPUT0": ROWS["INPUT0"] + number}))
        for number in range(20)
    ]
    for number, request in enumerate(pending):
        got = request.get_result().as_numpy("OUTPUT1")
        np.testing.assert_array_equal(got, ROWS["INPUT0"] + number - 3)


def test_requests_may_overlap_with_callbacks(grpc):
    answers = queue.SimpleQueue()
    for number in range(20):
        grpc.client.async_infer(
            "sum-difference",
            grpc.inputs({**ROWS, "INPUT0": ROWS["INPUT0"] + number}),
            lambda result, error, number=number: answers.put((number, result, error)),
        )
    for _ in range(20):
        number, result, error = answers.get(timeout=30)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), ROWS["INPUT0"] + number - 3)


@pytest.mark.parametrize("module", [tritonclient.http.aio, tritonclient.grpc.aio])
def test_the_clients_for_asyncio(onnxd, module):
    async def ask():
        async with module.InferenceServerClient(onnxd.data) as client:
            assert await client.is_server_ready()
            inputs = []
            for name, array in ROWS.items():
                inputs.append(module.InferInput(name, [1, 16], "INT32"))
                inputs[-1].set_data_from_numpy(array)
            requests = [client.infer("sum-difference", inputs) for _ in range(8)]
            return await asyncio.gather(*requests)

    for result in asyncio.run(ask()):
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ROWS["INPUT0"] + 3)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_an_answer_may_be_compressed(http, algorithm):
    rows = {name: np.repeat(array, 200, axis=0) for name, array in ROWS.items()}
    result = http.client.infer(
        "sum-difference", http.inputs(rows), response_compression_algorithm=algorithm
    )
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), rows["INPUT0"] + 3)


def test_a_request_may_be_compressed_by_gzip(http):
    result = http.client.infer("sum-difference", http.inputs(ROWS), request_compression_algorithm="gzip")
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ROWS["INPUT0"] + 3)


def test_a_request_that_is_compressed_otherwise_is_refused_with_the_reason(http):
    with pytest.raises(InferenceServerException, match="(?i)gzip|encoding|compress") as refused:
        http.client.infer("sum-difference", http.inputs(ROWS), request_compression_algorithm="deflate")
    assert refused.value.status() == "415"


def test_sixty_four_megabytes_are_too_much_and_eight_are_not(client):
    rows = np.ones((1000, 2048), np.float32)
    got = client.infer("identity-fp32", {"x": rows}, ["y"]).as_numpy("y")
    np.testing.assert_array_equal(got, rows)
    with pytest.raises(InferenceServerException):
        client.infer("identity-fp32", {"x": np.ones((8000, 2048), np.float32)}, ["y"])
    # The connection's end is not the server's.
    assert client.infer("identity-fp32", {"x": rows[:1]}, ["y"]).as_numpy("y").shape == (1, 2048)
