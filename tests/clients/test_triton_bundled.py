"""The bundled models through tritonclient: files and sentences in, labels out."""

import numpy as np
import pytest

from onnxd import REPOSITORY
from triton import texts

IMAGES = REPOSITORY / "tests/fixtures/images"
SENTENCES = ["The battery lasts for days, I love it!", "It broke after a week."]


def test_sentences_get_labels(transport):
    sentences = {"text": np.array(SENTENCES, object)}
    result = transport.infer("sentiment-minilm", sentences, ["label", "score"])
    assert texts(result.as_numpy("label")) == ["positive", "negative"]
    score = result.as_numpy("score")
    assert (score.dtype, score.shape) == (np.float32, (2,))
    assert ((score > 0.3) & (score <= 1)).all()


def test_a_network_that_takes_strings_gets_them(transport):
    column = {"text": np.array(SENTENCES, object).reshape(2, 1)}
    result = transport.infer("sentiment-tfidf", column, ["label", "probabilities"])
    assert texts(result.as_numpy("label")) == ["positive", "negative"]
    np.testing.assert_allclose(result.as_numpy("probabilities").sum(axis=1), 1, rtol=1e-5)


def test_image_files_get_labels(client):
    files = [(REPOSITORY / "models/efficientnet-lite0/golden.jpg").read_bytes(),
             (IMAGES / "jpeg-coffee.jpg").read_bytes()]
    images = np.array(files, object)
    result = client.infer("efficientnet-lite0", {"image": images}, ["label", "score"])
    assert texts(result.as_numpy("label"))[0] == "espresso"
    assert result.as_numpy("score")[0] == pytest.approx(0.96, abs=0.05)


def test_a_file_that_is_no_image_is_refused(client):
    images = np.array([b"no image at all"], object)
    with pytest.raises(Exception, match="(?i)image") as refused:
        client.infer("efficientnet-lite0", {"image": images}, ["label"])
    assert refused.value.status() in ("400", "415", "422", "StatusCode.INVALID_ARGUMENT")


def test_metadata_tells_what_a_task_takes(http):
    """In its properties, which gRPC has no place for; the inputs are the network's own."""
    metadata = http.client.get_model_metadata("sentiment-minilm")
    assert metadata["properties"]["preprocessed_input"] == "text"


def test_a_model_with_a_task_takes_its_networks_tensors_as_well(transport):
    (features,) = transport.client.get_model_metadata("iris", **transport.json())["inputs"]
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
    outputs = transport.client.get_model_metadata("iris", **transport.json())["outputs"]
    names = [output["name"] for output in outputs]
    result = transport.infer("iris", {features["name"]: rows}, names)
    assert all(len(result.as_numpy(name)) == 2 for name in names)
