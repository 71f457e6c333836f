"""What the server says of itself and of its models, asked by tritonclient."""

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from networks import DATATYPES


def test_the_server_is_live_and_ready(client):
    assert client.client.is_server_live()
    assert client.client.is_server_ready()


def test_a_model_is_ready_and_an_unknown_one_is_not(client):
    assert client.client.is_model_ready("iris")
    assert client.client.is_model_ready("iris", "1")
    assert not client.client.is_model_ready("nobody")


def test_the_server_names_its_extensions(client):
    metadata = client.client.get_server_metadata(**client.json())
    assert metadata["name"] == "onnxd"
    assert metadata["version"]
    assert {"binary_tensor_data", "classification", "statistics", "model_configuration"} <= set(
        metadata["extensions"]
    )


@pytest.mark.parametrize("datatype", DATATYPES)
def test_metadata_tells_types_and_open_axes(client, datatype):
    metadata = client.client.get_model_metadata(f"identity-{datatype.lower()}", **client.json())
    assert metadata["versions"] == ["1"]
    for tensors, name in ((metadata["inputs"], "x"), (metadata["outputs"], "y")):
        (tensor,) = tensors
        assert (tensor["name"], tensor["datatype"]) == (name, datatype)
        assert [int(axis) for axis in tensor["shape"]] == [-1, -1]


def test_metadata_tells_fixed_axes_and_scalars(client):
    (fixed,) = client.client.get_model_metadata("fixed", **client.json())["inputs"]
    assert [int(axis) for axis in fixed["shape"]] == [4, 3]
    (scalar,) = client.client.get_model_metadata("scalar", **client.json())["inputs"]
    assert [int(axis) for axis in scalar.get("shape", [])] == []


def test_the_configuration_tells_types(client):
    config = client.client.get_model_config("sum-difference", **client.json())
    config = config.get("config", config)
    assert config["name"] == "sum-difference"
    assert [tensor["name"] for tensor in config["input"]] == ["INPUT0", "INPUT1"]
    assert [tensor["data_type"] for tensor in config["output"]] == ["TYPE_INT32"] * 2


def test_an_unknown_model_has_no_metadata(client):
    with pytest.raises(InferenceServerException, match="nobody") as refused:
        client.client.get_model_metadata("nobody")
    assert refused.value.status() in ("404", "StatusCode.NOT_FOUND")


def success(client, model: str) -> tuple[int, int, int]:
    """Requests that succeeded, rows, and runs."""
    (stats,) = client.client.get_inference_statistics(model, **client.json())["model_stats"]
    numbers = stats["inference_stats"]["success"]["count"], stats["inference_count"], stats["execution_count"]
    return tuple(int(number) for number in numbers)


def test_statistics_count_requests(client):
    rows = np.ones((3, 16), np.int32)
    arrays = {"INPUT0": rows, "INPUT1": rows}
    # Counters that are 0 are not in the answer of gRPC, so first there is one request.
    client.infer("sum-difference", arrays, ["OUTPUT0"])
    requests, inferences, runs = success(client, "sum-difference")
    for _ in range(4):
        client.infer("sum-difference", arrays, ["OUTPUT0"])
    after = success(client, "sum-difference")
    assert after[0] == requests + 4
    assert after[1] > inferences
    assert after[2] == runs + 4


def test_statistics_of_all_models(client):
    stats = client.client.get_inference_statistics(**client.json())["model_stats"]
    assert {"iris", "scalar", "sentiment-minilm"} <= {model["name"] for model in stats}
