"""Serves onnx's backend tests with onnxd and compares every answer with onnxruntime's own.

Usage: check.py BINARY [TABLE]    TABLE: where the outcome is written, as Markdown

Every model that onnxruntime passes is asked over the Open Inference Protocol v2, in JSON and in
binary. Exits with 1 if an answer differs, in one bit even, or a model is not served.
"""

import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import suite
import v2

BATCH = 200
BINARY = Path(sys.argv[1]).resolve()


class Server:
    """An onnxd over a folder of models, one thread each; `failures` are those it cannot load."""

    def __init__(self, models: Path):
        self.models = models
        self.failures: dict[str, str] = {}
        # It tells all models that it cannot load, and stops; it starts without them.
        while not (line := self.start()):
            self.process.wait()
            log = (models.parent / "log").read_text()
            failed = re.findall(r"^  (\S+) \(.*?\): (.*)$", log, re.MULTILINE)
            if not failed:
                sys.exit(f"onnxd does not start:\n{log[-3000:]}")
            for name, reason in failed:
                self.failures[name] = reason
                (models / name).rename(models.parent / f"failed-{name}")
        host, port = re.search(r"http://([\d.]+):(\d+)", line).groups()
        self.client = v2.Client(host, int(port))

    def start(self) -> str:
        settings = {
            "ONNXD_ADMIN__LISTEN": "",
            "ONNXD_RUNTIME__INSTANCES": "1",
            "ONNXD_RUNTIME__INTRA_OP_THREADS": "1",
            "ONNXD_LOG__FILTER": "error",
        }
        with (self.models.parent / "log").open("w") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--models", self.models, "--listen", "127.0.0.1:0", "--device", "cpu"],
                env=os.environ | settings,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self.process.stdout.readline()

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait(60):
            sys.exit(f"onnxd ended with status {self.process.returncode}")


def check(cases: list[suite.Case]) -> list[tuple[str, str, str]]:
    """(name, kind, reason) of each; the kinds are passed, binary, skipped, failed."""
    results, served = [], {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        for case in cases:
            try:
                suite.prepare(case)
            except suite.Skip as reason:
                results.append((case.name, "skipped", str(reason)))
                continue
            # Names of models have at most 64 characters.
            name = case.name if len(case.name) <= 64 else f"{case.name[:58]}-{len(served)}"
            served[name] = case
            (models / name).mkdir()
            (models / name / "model.onnx").write_bytes(case.network.read_bytes())
            (models / name / "model.toml").write_text('task = "tensors"\n')
        server = Server(models)
        try:
            for name, case in served.items():
                if name in server.failures:
                    results.append((case.name, "failed", f"not loaded: {server.failures[name]}"))
                else:
                    results.append((case.name, *ask(server.client, name, case)))
        finally:
            server.stop()
    return results


def ask(client: v2.Client, name: str, case: suite.Case) -> tuple[str, str]:
    reason = ""
    for inputs, expected in zip(case.inputs, case.outputs, strict=True):
        reason = reason or no_json([*inputs, *expected])
        for binary in (True,) if reason else (True, False):
            form = "binary" if binary else "JSON"
            try:
                difference = compare(client.infer(name, inputs, binary), expected)
            except v2.Refused as refused:
                return "failed", f"{form}: {refused}"
            except (ValueError, KeyError, OSError) as error:
                client.connection.close()
                return "failed", f"{form}: the answer cannot be read: {error!r}"
            if difference:
                return "failed", f"{form}: {difference}"
    return ("binary", reason) if reason else ("passed", "")


def no_json(tensors: list[tuple]) -> str:
    """Why these tensors have no form in JSON, if so."""
    for _, datatype, array in tensors:
        if is_float(datatype) and not np.isfinite(array).all():
            return "NaN and infinity have no JSON"
    return ""


def is_float(datatype: str) -> bool:
    return datatype in ("FP16", "BF16", "FP32", "FP64")


def compare(got: list[tuple], expected: list[tuple]) -> str:
    """How the outputs differ, if they do. NaN equals NaN."""
    for (name, datatype, have), (want_name, want_type, want) in zip(got, expected, strict=True):
        if (name, datatype, have.shape) != (want_name, want_type, want.shape):
            return f"{name} {datatype} {have.shape} instead of {want_name} {want_type} {want.shape}"
        if is_float(datatype):
            same = (have == want) | (np.isnan(have) & np.isnan(want))
            same &= (np.signbit(have) == np.signbit(want)) | np.isnan(want)
        else:
            same = have == want
        if not np.all(same):
            return f"{name}: {np.size(same) - np.sum(same)} of {np.size(same)} elements differ"
    return ""


def report(results: list[tuple[str, str, str]]) -> str:
    """The outcome as Markdown: counts by reason, and each failure."""
    kinds = Counter(kind for _, kind, _ in results)
    lines = [
        f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, {len(results)} models.",
        "",
        "| Models | Outcome |",
        "|---:|---|",
        f"| {kinds['passed']} | passed, in JSON and in binary |",
    ]
    for kind, word in (("binary", "passed, in binary alone"), ("skipped", "skipped"), ("failed", "failed")):
        if kind == "failed":
            lines.append(f"| {kinds[kind]} | failed |")
            continue
        reasons = Counter(reason for _, k, reason in results if k == kind)
        lines += [f"| {count} | {word}: {reason} |" for reason, count in reasons.most_common()]
    failures = sorted((name, reason) for name, kind, reason in results if kind == "failed")
    if failures:
        lines += ["", "Failed:", "", *(f"* `{name}`: {reason}" for name, reason in failures)]
    return "\n".join(lines) + "\n"


def main() -> None:
    began = time.monotonic()
    cases = list(suite.cases())
    # Neighbours are alike, so that each batch takes some of every kind.
    count = -(-len(cases) // BATCH)
    batches = [cases[start::count] for start in range(count)]
    with multiprocessing.Pool(min(os.cpu_count() or 1, count)) as pool:
        results = [result for batch in pool.imap_unordered(check, batches) for result in batch]
    text = report(results)
    print(text)
    print(f"{time.monotonic() - began:.0f} s")
    if len(sys.argv) > 2:
        table = Path(sys.argv[2])
        head = table.read_text().partition("<!-- outcome -->")[0]
        table.write_text(f"{head}<!-- outcome -->\n{text}")
    sys.exit(any(kind == "failed" for _, kind, _ in results))


if __name__ == "__main__":
    main()
