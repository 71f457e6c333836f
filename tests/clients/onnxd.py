"""An onnxd of the tests' own, on ports that the system chooses."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import networks

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLED = ("efficientnet-lite0", "iris", "sentiment-minilm", "sentiment-tfidf")
CONFIG = """
[server]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[models]
path = "models"
control = "explicit"
load = ["*"]

[runtime]
device = "cpu"

[log]
format = "text"
"""


class Onnxd:
    """The process; `data` and `admin` are its addresses, HOST:PORT."""

    def __init__(self, folder: Path):
        self.models = folder / "models"
        self.models.mkdir()
        networks.write_all(self.models)
        for name in BUNDLED:
            shutil.copytree(REPOSITORY / "models" / name, self.models / name)
        (folder / "onnxd.toml").write_text(CONFIG)
        self.log = folder / "log"
        binary = os.environ.get("ONNXD", REPOSITORY / "target/release/onnxd")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--config", folder / "onnxd.toml", "--models", self.models],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"onnxd does not start:\n{self.log.read_text()[-3000:]}")
        self.data = re.search(r"http://([\d.:]+)", line).group(1)
        self.admin = re.search(r"health and metrics at http://([\d.:]+)", self.log.read_text()).group(1)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0, "the status of a drained onnxd"


def eventually(condition, seconds: float = 30):
    """Asks until it is so, and returns what it said."""
    end = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return said
