"""Loading and unloading while the server runs: over HTTP on the admin port, never on the data port."""

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

X = {"x": np.array([[1, 2]], np.uint8)}


def states(client) -> dict[str, str]:
    return {model["name"]: model["state"] for model in client.get_model_repository_index()}


def test_the_index_tells_what_is_ready(http):
    known = states(http.admin)
    assert known["iris"] == "READY"
    assert known["identity-fp32"] == "READY"


def test_the_index_over_grpc_is_on_the_data_port(grpc):
    index = grpc.client.get_model_repository_index(as_json=True)
    assert {"name": "iris", "version": "1", "state": "READY"} in index["models"]


def test_a_model_is_unloaded_and_loaded_again(http, grpc):
    model = "identity-uint8"
    http.admin.unload_model(model)
    assert states(http.admin)[model] == "UNAVAILABLE"
    for client in (http, grpc):
        assert not client.client.is_model_ready(model)
        with pytest.raises(InferenceServerException, match=model):
            client.infer(model, X, ["y"])
    http.admin.load_model(model)
    for client in (http, grpc):
        assert client.client.is_model_ready(model)
        assert client.infer(model, X, ["y"]).as_numpy("y").tolist() == [[1, 2]]


def test_a_model_that_is_not_there_cannot_be_loaded(http):
    with pytest.raises(InferenceServerException, match="nobody"):
        http.admin.load_model("nobody")


@pytest.mark.parametrize("name", ["..", "../models", "/etc"])
def test_no_name_leads_out_of_the_folder(http, name):
    with pytest.raises(InferenceServerException):
        http.admin.load_model(name)


def test_models_are_not_uploaded(http):
    with pytest.raises(InferenceServerException):
        http.admin.load_model("iris", config="{}", files={"file:1/model.onnx": b"not a model"})
    assert http.client.is_model_ready("iris")


def test_the_data_port_controls_nothing(client):
    with pytest.raises(InferenceServerException):
        client.client.unload_model("iris")
    with pytest.raises(InferenceServerException):
        client.client.load_model("iris")
    assert client.client.is_model_ready("iris")
