"""Rules, alerts and what the autoscalers ask: they evaluate, and name what onnxd has."""

import re
import shutil
import warnings

import prometheusrule
import promql
import pytest
import yaml
from conftest import HERE, ROOT, find, run, tool

RULES = yaml.safe_load(prometheusrule.RULES.read_text())
ALL = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]


SAMPLE = HERE / "metrics.prom"


@pytest.fixture(scope="session")
def known() -> dict[str, set[str]]:
    """Every series that can be named, with its labels: onnxd's, the recorded ones, and `up`."""
    exposed = promql.exposition(SAMPLE)
    recorded = {
        rule["record"]: {"namespace", "model", "stage", "label", "outcome"}
        for rule in ALL
        if "record" in rule
    }
    return exposed | recorded | {"up": set()}


def unknown(expression: str, known: dict[str, set[str]]) -> list[str]:
    """Names and labels in the expression that nothing has."""
    faults = []
    every = set().union(*known.values(), promql.TARGET_LABELS)
    for name, labels in promql.series(expression):
        if name not in known:
            faults.append(name)
        elif extra := labels - known[name] - promql.TARGET_LABELS:
            faults.append(f"{name}{{{', '.join(extra)}}}")
    return faults + [f"by ({label})" for label in promql.grouped(expression) - every]


def test_the_prometheusrule_is_the_rules_file():
    assert prometheusrule.RESOURCE.read_text() == prometheusrule.render(), (
        "run: python3 tests/k8s/prometheusrule.py"
    )
    assert yaml.safe_load(prometheusrule.RESOURCE.read_text())["spec"] == RULES


def test_rules_and_configuration_are_valid():
    promtool = tool("promtool")
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", prometheusrule.RULES)
    run(promtool, "check", "config", ROOT / "k8s/prometheus/prometheus.yaml")


def test_rules_do_what_they_say(tmp_path):
    promtool = tool("promtool")
    for file in (prometheusrule.RULES, HERE / "rules.test.yaml"):
        shutil.copy(file, tmp_path)
    run(promtool, "test", "rules", "rules.test.yaml", cwd=tmp_path)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_what_onnxd_has(rule, known):
    assert unknown(rule["expr"], known) == []


def test_the_sample_is_what_onnxd_answers(request):
    scraped = request.config.getoption("--metrics")
    if scraped is None:
        pytest.skip("no scrape to compare metrics.prom with; give one by --metrics FILE")
    real, sample = promql.exposition(scraped), promql.exposition(SAMPLE)
    ours = {name: labels for name, labels in real.items() if name.startswith("onnxd_")}
    assert ours.keys() <= sample.keys(), f"not in metrics.prom: {ours.keys() - sample.keys()}"
    assert {name: labels for name, labels in ours.items() if labels != sample[name]} == {}
    if absent := sample.keys() - real.keys():
        # A series may wait for its first event, or for a GPU.
        warnings.warn(f"in metrics.prom, not in the scrape: {', '.join(sorted(absent))}", stacklevel=1)
    run(tool("promtool"), "check", "metrics", input=scraped.read_text())


def test_a_name_that_nothing_has_is_noticed(known):
    assert unknown('rate(onnxd_request_total{mdoel="m"}[5m])', known) == ["onnxd_request_total"]
    assert unknown('sum by (modle) (onnxd_saturation{mdoel="m"})', known) == [
        "onnxd_saturation{mdoel}",
        "by (modle)",
    ]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_is_tested_and_explained(alert):
    name = alert["alert"]
    tests = yaml.safe_load((HERE / "rules.test.yaml").read_text())["tests"]
    fired = [
        c for t in tests for c in t.get("alert_rule_test", []) if c["alertname"] == name and c["exp_alerts"]
    ]
    assert fired, f"no test in which {name} fires"
    page, anchor = alert["annotations"]["runbook"].split("#")
    assert anchor == name.lower()
    assert f"### {name}\n" in (ROOT / page).read_text()


def hpa_expression(pod: str) -> str:
    """What prometheus-adapter asks for a pod, its template filled in."""
    [rule] = yaml.safe_load((ROOT / "k8s/components/hpa/prometheus-adapter.yaml").read_text())["rules"]
    filled = {
        "<<.Series>>": re.match(r"\w+", rule["seriesQuery"])[0],
        "<<.LabelMatchers>>": f'namespace="onnxd",pod=~"{pod}"',
        "<<.GroupBy>>": "pod",
    }
    expression = rule["metricsQuery"]
    for template, value in filled.items():
        expression = expression.replace(template, value)
    return expression


def test_the_autoscalers_ask_what_they_should(rendered, known, tmp_path):
    [trigger] = find(rendered["keda"], "ScaledObject")["spec"]["triggers"]
    [metric] = find(rendered["cpu"], "HorizontalPodAutoscaler")["spec"]["metrics"]
    [rule] = yaml.safe_load((ROOT / "k8s/components/hpa/prometheus-adapter.yaml").read_text())["rules"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]

    asked = {"hpa": hpa_expression("a|b"), "keda": trigger["metadata"]["query"]}
    for expression in asked.values():
        assert unknown(expression, known) == []
    rules = [{"record": f"test:{name}", "expr": expression} for name, expression in asked.items()]
    (tmp_path / "scaling.rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "t", "rules": rules}]}))
    shutil.copy(HERE / "scaling.test.yaml", tmp_path)
    run(tool("promtool"), "test", "rules", "scaling.test.yaml", cwd=tmp_path)
