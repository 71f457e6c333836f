"""Loading and unloading while the server runs: on the admin port, never on the data port."""

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

X = {"x": np.array([[1, 2]], np.uint8)}


def states(client) -> dict[str, str]:
    index = client.admin.get_model_repository_index(**client.json())
    models = index["models"] if isinstance(index, dict) else index
    return {model["name"]: model.get("state") for model in models}


def test_the_index_tells_what_is_ready(client):
    known = states(client)
    assert known["iris"] == "READY"
    assert known["identity-fp32"] == "READY"


def test_a_model_is_unloaded_and_loaded_again(client):
    model = "identity-uint8"
    client.infer(model, X, ["y"])
    client.admin.unload_model(model)
    assert not client.client.is_model_ready(model)
    assert states(client)[model] in ("UNAVAILABLE", "UNLOADING")
    with pytest.raises(InferenceServerException, match=model):
        client.infer(model, X, ["y"])
    client.admin.load_model(model)
    assert client.client.is_model_ready(model)
    assert client.infer(model, X, ["y"]).as_numpy("y").tolist() == [[1, 2]]


def test_a_model_that_is_not_there_cannot_be_loaded(client):
    with pytest.raises(InferenceServerException, match="nobody"):
        client.admin.load_model("nobody")


@pytest.mark.parametrize("name", ["..", "../models", "/etc"])
def test_no_name_leads_out_of_the_folder(client, name):
    with pytest.raises(InferenceServerException):
        client.admin.load_model(name)


def test_models_are_not_uploaded(client):
    with pytest.raises(InferenceServerException):
        client.admin.load_model("iris", config="{}", files={"file:1/model.onnx": b"not a model"})
    assert client.client.is_model_ready("iris")


def test_the_data_port_controls_nothing(client):
    with pytest.raises(InferenceServerException):
        client.client.unload_model("iris")
    with pytest.raises(InferenceServerException):
        client.client.load_model("iris")
    assert client.client.is_model_ready("iris")
