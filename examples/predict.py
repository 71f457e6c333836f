"""A photo, sentences and rows of features through requests, and what a refusal says.

Usage: predict.py [PHOTO]    ONNXD_URL: the server, http://127.0.0.1:8080 by default
"""

import os
import sys
from pathlib import Path

import requests

URL = os.environ.get("ONNXD_URL", "http://127.0.0.1:8080")
PHOTO = Path(__file__).parent.parent / "tests/fixtures/images/jpeg-coffee.jpg"


class Refused(Exception):
    """The server said no; `problem` is its answer (RFC 9457): detail, field, expected, got, request_id."""

    def __init__(self, problem: dict):
        super().__init__(f"{problem['status']} {problem['detail']}")
        self.problem = problem


class Onnxd:
    """One session keeps connections open; each thread should have its own."""

    def __init__(self, url: str, timeout: float = 30):
        self.url, self.timeout, self.session = url, timeout, requests.Session()
        # The server drops what nobody waits for any more.
        self.session.headers["x-request-timeout-ms"] = str(int(timeout * 1000))

    def predict(self, model: str | None = None, **request) -> list[dict]:
        """One prediction for each input, in order; without a model, the kind of input chooses it."""
        path = f"/predict/{model}" if model else "/predict"
        answer = self.session.post(self.url + path, timeout=self.timeout, **request)
        if not answer.ok:
            raise Refused(answer.json())
        return answer.json()["result"]


def main() -> None:
    onnxd = Onnxd(URL)
    photo = Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTO

    # The file as it is; the server looks at its content for the format.
    image = {"content-type": "application/octet-stream"}
    (prediction,) = onnxd.predict(data=photo.read_bytes(), headers=image)
    print(f"{photo.name}: {prediction['label']} {prediction['score']:.2f}")

    sentences = ["The battery lasts for days, I love it!", "It broke after a week."]
    for sentence, prediction in zip(sentences, onnxd.predict(json={"text": sentences})):
        print(f"{sentence} {prediction['label']} {prediction['score']:.2f}")

    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    body = {"features": rows, "parameters": {"top_k": 1}}
    for row, prediction in zip(rows, onnxd.predict("iris", json=body)):
        print(f"{row}: {prediction['label']}")

    try:
        onnxd.predict("iris", json={"features": [[5.1, 3.5, 1.4]]})
    except Refused as refused:
        print(f"refused: {refused} (request {refused.problem['request_id']})")


if __name__ == "__main__":
    main()
