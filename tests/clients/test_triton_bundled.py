"""The bundled models through tritonclient: files and sentences in, labels out."""

import numpy as np
import pytest

from onnxd import REPOSITORY
from triton import texts

IMAGES = REPOSITORY / "tests/fixtures/images"
SENTENCES = ["The battery lasts for days, I love it!", "It broke after a week."]


@pytest.mark.parametrize("model", ["sentiment-minilm", "sentiment-tfidf"])
def test_sentences_get_labels(transport, model):
    result = transport.infer(model, {"text": np.array(SENTENCES, object)}, ["label", "score"])
    assert texts(result.as_numpy("label")) == ["positive", "negative"]
    score = result.as_numpy("score")
    assert (score.dtype, score.shape) == (np.float32, (2,))
    assert ((score > 0.3) & (score <= 1)).all()


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


def test_what_metadata_says_of_a_model_with_a_task_can_be_sent(client):
    metadata = client.client.get_model_metadata("sentiment-minilm", **client.json())
    inputs = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
    outputs = {tensor["name"]: tensor["datatype"] for tensor in metadata["outputs"]}
    assert inputs["text"] == "BYTES"
    assert {"label": "BYTES", "score": "FP32"}.items() <= outputs.items()
