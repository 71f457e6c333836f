"""Writes the PrometheusRule from k8s/prometheus/rules.yaml, the one source of the rules."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "k8s/prometheus/rules.yaml"
RESOURCE = ROOT / "k8s/components/prometheus-operator/prometheusrule.yaml"

HEAD = """\
# Written from k8s/prometheus/rules.yaml by `python3 tests/k8s/prometheusrule.py`; edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: onnxd
spec:
"""


def render() -> str:
    """The resource: the rules' own text, indented under `spec`, without the leading comment."""
    text = RULES.read_text()
    groups = text[text.index("groups:") :]
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(True))


if __name__ == "__main__":
    RESOURCE.write_text(render())
