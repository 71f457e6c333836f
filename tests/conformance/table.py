"""docs/conformance.md: what came of the cases, by exporter and family."""

import collections
from pathlib import Path

KINDS = ("right", "refused well", "refused badly", "wrong")


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def sentence(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(path: Path, outcomes: list) -> None:
    total = collections.Counter(one.kind for one in outcomes)
    lines = [
        "# Conformance",
        "",
        "Folders that exporters wrote, asked over HTTP and compared with the answers of the library that made the",
        "model (or, where it has none, of ONNX Runtime in Python). `tests/conformance/README.md` tells how; this file",
        "is written by `scripts/conformance.sh`.",
        "",
        f"{len(outcomes)} folders: " + ", ".join(f"{total[kind]} {kind}" for kind in KINDS) + ".",
        "",
        "*Right*: served, and every answer is the library's. *Refused well*: not served or not answered, as it should",
        "be, with words that say why and what helps. *Refused badly*: refused though it could be served, or in words",
        "that mislead. *Wrong*: another answer than the library's.",
        "",
        row("Exporter", "Family", *KINDS),
        row("---", "---", *["---:"] * len(KINDS)),
    ]
    groups = collections.defaultdict(collections.Counter)
    for one in outcomes:
        groups[one.exporter, one.family][one.kind] += 1
    for (exporter, family), counted in sorted(groups.items()):
        lines.append(row(exporter, family, *(counted[kind] for kind in KINDS)))
    lines.append(row("all", "", *(total[kind] for kind in KINDS)))

    made_with = collections.defaultdict(set)
    for one in outcomes:
        if said := one.case.get("made_with"):
            made_with[one.exporter].add(said)
    lines += ["", "## Made with", ""]
    lines += [f"* {exporter}: {'; '.join(sorted(said))}" for exporter, said in sorted(made_with.items())]

    bad = [one for one in outcomes if one.kind in ("refused badly", "wrong")]
    lines += ["", "## Not right", ""]
    lines += [f"* {one.exporter}/{one.name}: {one.kind}: {sentence(one.why or '')}" for one in bad] or ["None."]

    different = [one for one in outcomes if one.case.get("difference")]
    lines += ["", "## Where the exported network differs from the library", "", "Compared with the network then.", ""]
    by_sentence = collections.defaultdict(list)
    for one in different:
        by_sentence[sentence(one.case["difference"])].append(f"{one.exporter}/{one.name}")
    lines += [f"* {said} ({', '.join(names)})" for said, names in sorted(by_sentence.items())] or ["None."]
    path.write_text("\n".join(lines) + "\n")
