"""Reads PromQL just enough to know which series and labels an expression names."""

import re
from pathlib import Path

# Labels that the scrape adds.
TARGET_LABELS = {"job", "instance", "namespace", "pod", "le"}
NOT_METRICS = {"and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "group_right"}
NOT_METRICS |= {"offset", "bool", "sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"}

# What Grafana puts in, for a check by promtool.
VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def concrete(expression: str) -> str:
    """The expression with Grafana's variables filled in."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return re.sub(r"\$(\{\w+\}|\w+)", ".*", expression)


def series(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric in the expression with the labels that its matchers name."""
    expression = re.sub(r"#.*", "", expression)
    found = []
    # The label lists of by (…) and the like hold no metrics.
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", r"\1", expression)
    for match in re.finditer(r"\b([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?", blank_strings(bare)):
        name, matchers = match.groups()
        after = blank_strings(bare)[match.end() :].lstrip()
        if name in NOT_METRICS or after.startswith("(") or re.fullmatch(r"[smhdwy]|Inf|NaN", name):
            continue
        found.append((name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or ""))))
    return found


def grouped(expression: str) -> set[str]:
    """The labels that by (…), on (…) and group_left (…) name."""
    lists = re.findall(r"\b(?:by|on|group_left|group_right)\s*\(([^)]*)\)", expression)
    return {label.strip() for part in lists for label in part.split(",") if label.strip()}


def blank_strings(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


def exposition(path: Path) -> dict[str, set[str]]:
    """Each series' name in what /metrics answers, with its labels."""
    found: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if match := re.match(r"([a-zA-Z_:][\w:]*)(\{.*\})?\s", line):
            labels = set(re.findall(r'(\w+)="', match[2] or ""))
            found.setdefault(match[1], set()).update(labels)
    return found
