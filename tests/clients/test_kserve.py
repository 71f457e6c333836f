"""KServe's own client, for v2 over HTTP and gRPC and for v1."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROWS = np.arange(32, dtype=np.int32).reshape(2, 16)
IRIS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def request(model: str = "sum-difference", binary: bool = True, **options) -> InferRequest:
    inputs = []
    for name, array in (("INPUT0", ROWS), ("INPUT1", np.ones_like(ROWS))):
        tensor = InferInput(name, list(array.shape), "INT32")
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=model, infer_inputs=inputs, **options)


def rest(onnxd, ask, protocol: str = "v2"):
    """What `ask` returns of (client, base URL)."""

    async def run():
        async with InferenceRESTClient(RESTConfig(protocol=protocol, retries=0)) as client:
            return await ask(client, f"http://{onnxd.data}")

    return asyncio.run(run())


def grpc(onnxd, ask):
    async def run():
        async with InferenceGRPCClient(onnxd.data, retries=0) as client:
            return await ask(client)

    return asyncio.run(run())


def check(response) -> None:
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    np.testing.assert_array_equal(outputs["OUTPUT0"], ROWS + 1)
    np.testing.assert_array_equal(outputs["OUTPUT1"], ROWS - 1)


def test_health_over_rest(onnxd):
    assert rest(onnxd, lambda client, url: client.is_server_live(url))
    assert rest(onnxd, lambda client, url: client.is_server_ready(url))
    assert rest(onnxd, lambda client, url: client.is_model_ready(url, "iris"))
    assert not rest(onnxd, lambda client, url: client.is_model_ready(url, "nobody"))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("answer", [None, False, True])
def test_rows_over_rest(onnxd, binary, answer):
    options = {} if answer is None else {"parameters": {"binary_data_output": answer}}
    asked = request(binary=binary, request_id="k-1", **options)
    response = rest(onnxd, lambda client, url: client.infer(url, asked, model_name="sum-difference"))
    assert response.id == "k-1"
    check(response)


def test_a_refusal_over_rest_has_its_reason(onnxd):
    asked = request()
    asked.inputs.pop()
    with pytest.raises(httpx.HTTPStatusError, match="INPUT1"):
        rest(onnxd, lambda client, url: client.infer(url, asked, model_name="sum-difference"))


def test_health_over_grpc(onnxd):
    assert grpc(onnxd, lambda client: client.is_server_live())
    assert grpc(onnxd, lambda client: client.is_server_ready())
    assert grpc(onnxd, lambda client: client.is_model_ready("iris"))


@pytest.mark.parametrize("binary", [False, True])
def test_rows_over_grpc(onnxd, binary):
    response = grpc(onnxd, lambda client: client.infer(request(binary=binary)))
    assert response.model_name == "sum-difference"
    check(response)


def test_an_unknown_model_over_grpc(onnxd):
    with pytest.raises(AioRpcError) as refused:
        grpc(onnxd, lambda client: client.infer(request(model="nobody")))
    assert refused.value.code() == StatusCode.NOT_FOUND
    assert "nobody" in refused.value.details()


def test_sentences_over_rest(onnxd):
    text = InferInput("text", [2], "BYTES", data=["I love it!", "It broke after a week."])
    asked = InferRequest(model_name="sentiment-minilm", infer_inputs=[text])
    response = rest(onnxd, lambda client, url: client.infer(url, asked, model_name="sentiment-minilm"))
    outputs = {output.name: output.data for output in response.outputs}
    assert outputs["label"] == ["positive", "negative"]


def test_health_over_v1(onnxd):
    assert rest(onnxd, lambda client, url: client.is_model_ready(url, "iris"), "v1")


def test_instances_over_v1(onnxd):
    answer = rest(
        onnxd, lambda client, url: client.infer(url, {"instances": IRIS}, model_name="iris"), "v1"
    )
    assert json.dumps(answer)
    labels = [prediction["label"] for prediction in answer["predictions"]]
    assert labels == ["setosa", "virginica"]


def test_an_unknown_model_over_v1(onnxd):
    with pytest.raises(httpx.HTTPStatusError, match="nobody"):
        rest(onnxd, lambda client, url: client.infer(url, {"instances": IRIS}, model_name="nobody"), "v1")
