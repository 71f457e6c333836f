"""The figures as lines for people, and as the table of docs/security.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attack import Figure
    from run import Result
    from watch import Seen

HEAD = (
    f"{'attack':21}  {'not answered':>12}  {'p99':>8}  {'live p99':>9}  {'peak':>8}  {'growth':>8}  {'s':>4}  "
    "its own figures"
)
# The columns of HEAD that every attack has.
COLUMNS = (("not answered", 12), ("times quiet p99", 8), ("live p99", 9), ("peak memory", 8), ("memory growth", 8))
# Without an attack; a photo takes some 10 ms on a machine without other work.
BUSY_MS = 60
# Between these lines of docs/security.md stands the table.
BEGIN, END = "<!-- attacks: begin -->\n", "<!-- attacks: end -->\n"


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}" if value < 10 else f"{value:.1f}"


def of(figure: Figure, mark: bool = True) -> str:
    unit = figure.unit if figure.unit in "×%" else f" {figure.unit}"
    return f"{number(figure.value)}{unit}{'!' if mark and not figure.kept else ''}"


def quiet(seen: Seen) -> str:
    return (
        f"quiet: {seen.answered} of {seen.asked} answered, p50 {seen.p50_ms:.1f} ms, "
        f"p99 {seen.p99_ms:.1f} ms, live p99 {seen.live_p99_ms:.1f} ms, {seen.peak_mb:.0f} MB, "
        f"{seen.descriptors} descriptors"
    )


def busy(seen: Seen) -> str:
    """A word about a machine that has other work as well."""
    return "This machine is busy: times are rough." if seen.p99_ms > BUSY_MS else ""


def row(result: Result) -> str:
    common = {figure.what: figure for figure in result.common}
    cells = [of(common[what]) if what in common else "-" for what, _ in COLUMNS]
    cells = [f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
    ended = "THE PROCESS ENDS; " if "ended" in common and not common["ended"].kept else ""
    own = ended + "; ".join(f"{figure.what} {of(figure)}" for figure in result.own)
    return f"{result.name:21}  {'  '.join(cells)}  {result.seconds:4.0f}  {own}"


def broken(result: Result) -> str:
    lines = [f"BROKEN: {result.name}: {result.does}"]
    for figure in result.own + result.common:
        if not figure.kept:
            told = f" ({figure.told})" if figure.told else ""
            lines.append(f"    {figure.what}: {of(figure, mark=False)}, at most {number(figure.bound)}{told}")
    return "\n".join(lines)


def told(attack: dict) -> str:
    """The figures that say most of an attack, for the table of the documents."""
    figures = attack["own"] + attack["common"]
    by = {figure["what"]: figure for figure in figures}
    if by.get("ended", {"value": 0})["value"]:
        return "**the process ends**"
    parts = []
    for figure in attack["own"]:
        unit = f" {figure['unit']}" if figure["unit"] and figure["unit"] not in "×%" else figure["unit"]
        said = f"{figure['what']} {number(figure['value'])}{unit}"
        parts.append(said if figure["value"] <= figure["bound"] else f"**{said}**")
    for what, said in (
        ("not answered", "{} % not answered"),
        ("times quiet p99", "p99 {} ×"),
        ("live p99", "live {} ms"),
        ("memory growth", "+{} MB"),
    ):
        if what in by and (by[what]["value"] > by[what]["bound"] or what in ("not answered", "memory growth")):
            cell = said.format(number(by[what]["value"]))
            parts.append(cell if by[what]["value"] <= by[what]["bound"] else f"**{cell}**")
    return ", ".join(parts)


def markdown(before: dict, after: dict) -> str:
    was = {attack["name"]: attack for attack in before["attacks"]}
    lines = ["| Attack | Rule | What it does | Before | After |", "|---|---|---|---|---|"]
    for attack in after["attacks"]:
        first = told(was[attack["name"]]) if attack["name"] in was else ""
        rule = attack["rule"] or "held"
        lines.append(f"| `{attack['name']}` | {rule} | {attack['does']} | {first} | {told(attack)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Usage: table.py BEFORE.json AFTER.json PAGE: writes the table into the page."""
    before, after = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    page = Path(sys.argv[3])
    text = page.read_text()
    head, rest = text.split(BEGIN)
    page.write_text(head + BEGIN + "\n" + markdown(before, after) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
