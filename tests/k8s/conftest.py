"""What the checks share: where things lie, the rendered manifests, and the outer tools."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# Each is built as `kubectl apply -k` would build it.
BUILDS = {
    "base": ROOT / "k8s/base",
    "cpu": ROOT / "k8s/overlays/cpu",
    "gpu": ROOT / "k8s/overlays/gpu",
    "keda": HERE / "keda",
    "models-volume": HERE / "models-volume",
}
KSERVE = ROOT / "k8s/kserve"


def pytest_addoption(parser):
    parser.addoption(
        "--metrics",
        type=lambda path: Path(path).resolve(),
        help="what /metrics answered: metrics.prom is checked against it",
    )


def tool(name: str) -> str:
    """The path of an outer tool; without it the test is skipped by name."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, **options) -> str:
    """Runs a command; its output, or a failure that shows it."""
    done = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def load_all(text: str) -> list[dict]:
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[dict]]:
    """The resources of each build, by its name."""
    kubectl = tool("kubectl")
    return {name: load_all(run(kubectl, "kustomize", path)) for name, path in BUILDS.items()}


@pytest.fixture(scope="session")
def kserve() -> list[dict]:
    return [doc for path in sorted(KSERVE.glob("*.yaml")) for doc in load_all(path.read_text())]


def find(resources: list[dict], kind: str, name: str = "onnxd") -> dict:
    """The one resource of this kind and name."""
    [found] = [r for r in resources if r["kind"] == kind and r["metadata"]["name"] == name]
    return found
