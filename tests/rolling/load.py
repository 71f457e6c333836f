"""Closed-loop clients that know every answer beforehand and count whatever else comes.

Each request has an x-request-id of its own, and one of many questions. An answer counts as "ok" only
if it has status 200, the request's id and the question's labels and scores.
"""

import collections
import http.client
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[1] / "fixtures/images"
CLIENTS = 8
# One request in so many asks the image model, which takes some 20 times as long.
IMAGE_EVERY = 100
# The last digits of a score may depend on what ran in the same batch.
TOLERANCE = 1e-4
# onnxd's answers have an x-request-id, whatever their status; the balancer's own have none.
BALANCERS = "balancer's "
TIMEOUT = 60  # seconds, longer than any answer may take


@dataclass
class Question:
    """A body, and the labels and scores that it must be answered with."""

    path: str
    media_type: str
    body: bytes
    answer: list[tuple[str, float]]

    def is_answered_by(self, body: bytes) -> bool:
        found = results(body)
        return len(found) == len(self.answer) and all(
            label == asked_label and abs(score - asked_score) < TOLERANCE
            for (label, score), (asked_label, asked_score) in zip(found, self.answer, strict=True)
        )


@dataclass
class Failure:
    """A request that was not answered as it should be; times are seconds of time.time()."""

    request_id: str
    outcome: str
    began: float
    ended: float


def results(body: bytes) -> list[tuple[str, float]]:
    return [(entry["label"], entry["score"]) for entry in json.loads(body)["result"]]


def questions(port: int, images: list[str]) -> tuple[list[Question], list[Question]]:
    """Small questions and image questions, answered once by the server on this port, in peace."""
    rng = random.Random(7)
    words = "good bad awful lovely slow quick broken great fine terrible works never always happy".split()
    small = []
    for _ in range(300):
        row = [round(rng.uniform(low, high), 3) for low, high in ((4, 8), (2, 4.5), (1, 7), (0.1, 2.5))]
        small.append(("/predict/iris", "application/json", json.dumps({"features": [row]}).encode()))
        text = " ".join(rng.choices(words, k=rng.randint(3, 12)))
        small.append(("/predict/sentiment-tfidf", "application/json", json.dumps({"text": text}).encode()))
    large = [("/predict/efficientnet-lite0", "image/jpeg", (IMAGES / name).read_bytes()) for name in images]

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def asked(path: str, media_type: str, body: bytes) -> Question:
        connection.request("POST", path, body, {"content-type": media_type})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(f"{path} answers {response.status} in peace: {answer.decode()}")
        return Question(path, media_type, body, results(answer))

    known = [asked(*one) for one in small], [asked(*one) for one in large]
    connection.close()
    return known


class Load:
    """Eight clients on keep-alive connections to a port, from `with` to its end."""

    numbers = itertools.count()

    def __init__(self, port: int, small: list[Question], large: list[Question]):
        self.port = port
        self.small, self.large = small, large
        self.changed = threading.Condition()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.failures: list[Failure] = []
        self.stopping = False
        self.threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        for thread in self.threads:
            thread.join()

    def total(self) -> int:
        with self.changed:
            return self.outcomes.total()

    def wait_for(self, total: int, seconds: float) -> bool:
        """Until there are so many outcomes; False if not in this time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.outcomes.total() >= total, seconds)

    def _count(self, outcome: str, request_id: str, began: float) -> None:
        with self.changed:
            self.outcomes[outcome] += 1
            if outcome != "ok":
                self.failures.append(Failure(request_id, outcome, began, time.time()))
            self.changed.notify_all()

    def _ask(self, client: int) -> None:
        """One client's requests, one after the other."""
        rng = random.Random(client)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        while not self.stopping:
            number = next(self.numbers)
            question = rng.choice(self.small if number % IMAGE_EVERY else self.large)
            request_id = f"{client}-{number}"
            headers = {"content-type": question.media_type, "x-request-id": request_id}
            began = time.time()
            try:
                # After an error or `connection: close` this connects anew.
                connection.request("POST", question.path, question.body, headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                outcome = type(error).__name__
            else:
                answered = response.headers.get_all("x-request-id")
                if answered is None:
                    outcome = f"{BALANCERS}{response.status}"
                elif answered != [request_id]:
                    outcome = "another's answer"
                elif response.status != 200:
                    outcome = str(response.status)
                else:
                    outcome = "ok" if question.is_answered_by(body) else "wrong answer"
            self._count(outcome, request_id, began)
