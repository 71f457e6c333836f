"""An onnxd of the tests' own, on a port that the system chooses."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests/fixtures"
BUNDLED = tuple(
    REPOSITORY / "models" / name
    for name in ("efficientnet-lite0", "iris", "sentiment-minilm", "sentiment-tfidf")
)
# One of each task that no bundled model has.
OTHERS = tuple(
    FIXTURES / "models" / name
    for name in (
        "named-columns",
        "optimum-bert-tokens",
        "optimum-sentence-transformer",
        "pmml-forest",
        "two-inputs-unknown",
    )
)


class Onnxd:
    """The process; `url` ends with a slash."""

    def __init__(self, folder: Path, models: tuple[Path, ...], config: str = ""):
        (folder / "models").mkdir()
        for model in models:
            shutil.copytree(model, folder / "models" / model.name)
        (folder / "onnxd.toml").write_text(f'[admin]\nlisten = ""\n[server]\n{config}')
        self.log = folder / "log"
        arguments = ["--config", folder / "onnxd.toml", "--models", folder / "models"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    os.environ["ONNXD"],
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--device",
                    "cpu",
                    *arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines = [self.process.stdout.readline(), self.process.stdout.readline()]
        if not lines[0]:
            sys.exit(f"onnxd does not start:\n{self.log.read_text()[-3000:]}")
        self.url = re.match(r"Try it: (http://[\d.:]+/)$", lines[1]).group(1)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0, "the status of a drained onnxd"
