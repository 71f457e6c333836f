"""Whether an output has the shape of the one that a page shows.

Numbers, ids and widths are the machine's, and `…` is anything. JSON is compared by value: of classes,
only the first one's label, since the scores of the others may be near each other.
"""

import json
import re

ID = re.compile(r"\b[0-9a-f]{32}\b")
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?%?")


def loose(text: str) -> str:
    text = ID.sub("@", text)
    text = NUMBER.sub("#", text)
    text = re.sub(r"([─═])[─═ ]*", r"\1", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def pattern(shown: str) -> re.Pattern:
    """`…` alone in a line is any lines, within a line anything in it."""
    parts = []
    for line in shown.splitlines():
        line = loose(line)
        if line == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        elif line:
            parts.append(r"[^\n]*?".join(re.escape(part) for part in line.split("…")) + r"\n")
    return re.compile("".join(parts))


def text_differs(shown: str, got: str) -> bool:
    lines = (loose(line) for line in got.splitlines())
    return not pattern(shown).fullmatch("".join(line + "\n" for line in lines if line))


def alike(shown, got) -> bool:
    if isinstance(shown, dict):
        if not isinstance(got, dict) or shown.keys() != got.keys():
            return False
        return all(
            several_classes(value, got[key]) if key == "classes" else alike(value, got[key])
            for key, value in shown.items()
        )
    if isinstance(shown, list):
        return isinstance(got, list) and len(shown) == len(got) and all(map(alike, shown, got))
    if isinstance(shown, bool) or shown is None:
        return shown is got
    if isinstance(shown, (int, float)):
        return isinstance(got, (int, float)) and not isinstance(got, bool)
    return isinstance(got, str) and loose(shown) == loose(got)


def several_classes(shown: list, got: list) -> bool:
    if not isinstance(got, list) or len(shown) != len(got):
        return False
    named = all(isinstance(one.get("label"), str) and one.keys() == {"label", "score"} for one in got)
    return named and (not shown or shown[0]["label"] == got[0]["label"])


def json_differs(shown: str, got: str) -> bool:
    shown, got = ([line for line in text.splitlines() if line.strip()] for text in (shown, got))
    if len(shown) != len(got):
        return True
    for one, other in zip(shown, got):
        if "…" in one:
            if text_differs(one, other):
                return True
            continue
        try:
            if not alike(json.loads(one), json.loads(other)):
                return True
        except json.JSONDecodeError:
            return True
    return False


def differs(kind: str, shown: str, got: str) -> bool:
    return json_differs(shown, got) if kind == "json" else text_differs(shown, got)
