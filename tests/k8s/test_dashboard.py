"""The dashboard: whole, and every expression in it evaluates and names what onnxd has."""

import json
import re
import shutil
import subprocess

import prometheusrule
import promql
import pytest
import yaml
from conftest import ROOT, run, tool
from test_prometheus import SAMPLE, known, unknown  # noqa: F401 (a fixture)

PATH = ROOT / "k8s/grafana/onnxd.json"
BOARD = json.loads(PATH.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SHOWN = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = SHOWN + [(note["name"], note["expr"]) for note in BOARD["annotations"]["list"]]


def test_every_expression_is_valid(tmp_path):
    rules = [
        {"record": f"panel:{index}", "expr": promql.concrete(expression)}
        for index, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(tool("promtool"), "check", "rules", file)


def test_every_panel_shows_something(tmp_path):
    """With two replicas that have every series, each expression gives samples and no error."""
    series = [
        {
            "series": f'{name}{{job="onnxd",namespace="n",instance="{instance}",{labels}}}',
            "values": "1+1x360",
        }
        for instance in "ab"
        for name, labels in re.findall(
            r"^([a-z]\w+)(?:\{(.*)\})? ", SAMPLE.read_text() + "up 1\n", re.MULTILINE
        )
    ]
    # Samples are five minutes apart, which is too far for a rate over as much.
    asked = [promql.concrete(expression.replace("$__rate_interval", "1h")) for _, expression in SHOWN]
    test = {
        "interval": "5m",
        "input_series": series,
        # Nothing is expected, so that whatever an expression gives is printed.
        "promql_expr_test": [
            {"expr": expression, "eval_time": "29h", "exp_samples": []} for expression in asked
        ],
    }
    shutil.copy(prometheusrule.RULES, tmp_path)
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": [test]})
    )
    command = [tool("promtool"), "test", "rules", "test.yaml"]
    said = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    printed = said.stdout + said.stderr
    assert "err:" not in printed, printed
    silent = [
        title
        for (title, _), expression in zip(SHOWN, asked, strict=True)
        if f"expr: {json.dumps(expression)}" not in printed
    ]
    assert silent == []


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[title for title, _ in EXPRESSIONS])
def test_expressions_name_what_onnxd_has(title, expression, known):  # noqa: F811
    assert unknown(promql.concrete(expression), known) == []


def test_panels_have_their_own_id_and_place():
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & mine, f"{panel['title']} overlaps"
        cells |= mine


def test_variables_are_declared_and_used():
    declared = {variable["name"] for variable in BOARD["templating"]["list"]}
    assert declared == {"datasource", "namespace", "instance", "model"}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
    text = PATH.read_text()
    assert all(f"${name}" in text or f"${{{name}}}" in text for name in declared)


def test_variables_ask_for_what_onnxd_has(known):  # noqa: F811
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked, label = (
                variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            )
            assert unknown(promql.concrete(asked), known) == []
            [(name, _)] = promql.series(promql.concrete(asked))
            assert label in known[name] | promql.TARGET_LABELS


def test_every_metric_is_shown(known):  # noqa: F811
    shown = {name for _, expression in EXPRESSIONS for name, _ in promql.series(promql.concrete(expression))}
    shown |= {"onnxd_model_info"}
    of_onnxd = {
        name
        for name in known
        if name.startswith("onnxd_") and not name.endswith(("_bucket", "_sum", "_count"))
    }
    assert of_onnxd - shown == set()
