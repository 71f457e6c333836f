"""What all recipes share: how a case's folder and its case.json are written.

A recipe is a file with the line `REQUIREMENTS = "classical"` (its venv is made of requirements/classical.txt) and
a function `cases()` that yields what `case(...)` returns. `build` is called only for folders that are not there
yet, so nothing slow belongs into `cases()` itself.

    def cases():
        yield case("torch", "mlp-logits", build, family="mlp", task="tabular-classification",
                   made_with=("torch", "onnx"), committed=True)

    def build(folder):                  # writes model.onnx and what else the exporter writes into `folder`
        ...
        return [{"json": {"features": [[1, 2]]}, "expected": [{"label": "a"}]}]

`build` returns the list of requests, or a dict of any of case.json's keys (requests, task, tolerance, says,
refused, difference), which go before what `case` was told.

    python recipes/FILE.py OUT [--committed] [--only PATTERN]

writes OUT/EXPORTER/NAME/ for each case that is not there; --committed writes only those for fixtures/.
"""

import argparse
import dataclasses
import fnmatch
import importlib.metadata
import json
import math
import os
import random
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

# The machine is shared, and one thread sums in one order.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SEED = 0


@dataclasses.dataclass
class Case:
    exporter: str
    name: str
    build: Callable[[Path], list | dict]
    # Of one family only some are worth the repository's space.
    committed: bool
    said: dict


def in_eight_bits(network: Path, to: Path) -> None:
    """ONNX Runtime's dynamic quantisation. Weights have seven bits, so that sums do not saturate on processors
    without VNNI, and every processor gives the same answers."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(network, to, weight_type=QuantType.QInt8, reduce_range=True)


def case(
    exporter: str,
    name: str,
    build: Callable[[Path], list | dict],
    *,
    family: str,
    task: str | list[str],
    made_with: Iterable[str] = (),
    committed: bool = False,
    tolerance: float = 1e-4,
    **said: object,
) -> Case:
    """`made_with` are names of packages; their versions are looked up."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or not re.fullmatch(r"[a-z0-9-]+", exporter):
        raise ValueError(f"{exporter}/{name} is no name of a folder here")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in made_with)
    first = {"family": family, "made_with": versions, "task": task, "tolerance": tolerance}
    return Case(exporter, name, build, committed, first | said)


def plain(value: object) -> object:
    """numpy's numbers and arrays as JSON has them; numbers of FP32 with the digits that tell them apart."""
    if hasattr(value, "tolist") and getattr(value, "shape", None) != ():
        return [plain(one) for one in value]
    if type(value).__name__ == "float32":
        return plain(float(str(value)))
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    # A missing value is null for onnxd.
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(plain(content), ensure_ascii=False, allow_nan=False) + "\n")


def seed_all() -> None:
    random.seed(SEED)
    for name in ("numpy", "torch"):
        if name in sys.modules:
            module = sys.modules[name]
            (module.random.seed if name == "numpy" else module.manual_seed)(SEED)


def unfinished(out: Path) -> Path:
    """Each recipe's own, since several may run at once."""
    return out / f".unfinished-{Path(sys.argv[0]).stem}"


def write(case: Case, out: Path) -> None:
    folder = out / case.exporter / case.name
    # Elsewhere until it is whole, so that what was interrupted is made anew.
    partial = unfinished(out) / case.name
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    seed_all()
    made = case.build(partial)
    said = case.said | (made if isinstance(made, dict) else {"requests": made})
    if not said.get("requests") and not said.get("refused") and not said.get("says"):
        raise ValueError("build gave neither requests nor what is said or refused")
    write_json(partial / "case.json", said)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def main(cases: Callable[[], Iterable[Case]]) -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--committed", action="store_true", help="only those for fixtures/")
    arguments.add_argument("--only", default="*", help="such as skl2onnx/svc-*")
    arguments.add_argument("--again", action="store_true", help="also those that are there")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    chosen = [
        one
        for one in cases()
        if (one.committed or not options.committed) and fnmatch.fnmatch(f"{one.exporter}/{one.name}", options.only)
    ]
    names = [f"{one.exporter}/{one.name}" for one in chosen]
    if doubled := {name for name in names if names.count(name) > 1}:
        sys.exit(f"two cases of one name: {', '.join(sorted(doubled))}")
    todo = [one for one in chosen if options.again or not (options.out / one.exporter / one.name / "case.json").exists()]
    recipe, failed, start = Path(sys.argv[0]).stem, 0, time.monotonic()
    for number, one in enumerate(todo, 1):
        name = f"{one.exporter}/{one.name}"
        try:
            write(one, options.out)
            print(f"{recipe}: {number} of {len(todo)}: {name}", flush=True)
        except Exception:
            failed += 1
            print(f"{recipe}: {number} of {len(todo)}: {name} FAILED", flush=True)
            traceback.print_exc()
    shutil.rmtree(unfinished(options.out), ignore_errors=True)
    print(
        f"{recipe}: {len(chosen)} cases, {len(chosen) - len(todo)} were there, {failed} failed, "
        f"{time.monotonic() - start:.0f} s",
        flush=True,
    )
    sys.exit(1 if failed else 0)
