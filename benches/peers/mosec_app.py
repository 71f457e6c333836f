"""The same with mosec, whose front is written in Rust: batches out of what waits, a process a core.

    python mosec_app.py --address 127.0.0.1 --port 8000 --log-level error
"""

import os

import numpy as np
from mosec import Server, Worker
from mosec.errors import ValidationError

from model import load

WORKERS = int(os.environ.get("WORKERS", "2"))
BATCH = int(os.environ.get("BATCH", "4"))
# How long a batch waits for more rows. Milliseconds; mosec wants at least one.
WAIT = 1


class Predict(Worker):
    """Decodes and runs what was taken from the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load()

    def deserialize(self, data: bytes) -> np.ndarray:
        try:
            return self.model.prepare(data)
        except (OSError, ValueError, KeyError) as error:
            raise ValidationError(str(error)) from error

    def forward(self, data: list[np.ndarray]) -> list[dict]:
        return [{"result": [answer]} for answer in self.model.predict(data)]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Predict, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT, route="/predict")
    server.run()
