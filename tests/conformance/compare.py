"""Says where an answer differs from what a case expects; nothing where it is right."""

import json


def near(got: object, expected: object, tolerance: float) -> bool:
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    # Whole numbers are exact, also those that no float holds.
    if isinstance(got, int) and isinstance(expected, int):
        return got == expected
    if not isinstance(got, int | float) or not isinstance(expected, int | float):
        return False
    return abs(got - expected) <= tolerance + tolerance * abs(expected)


def short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 240 else text[:240] + "…"


def numbers(what: str, got: object, expected: object, tolerance: float) -> str | None:
    """Numbers or strings, alone or in lists of any depth."""
    if isinstance(expected, list) or isinstance(got, list):
        if not isinstance(expected, list) or not isinstance(got, list) or len(got) != len(expected):
            return f"{what} is {short(got)}, expected {short(expected)}"
        for number, (one, other) in enumerate(zip(got, expected, strict=True)):
            if said := numbers(f"{what}[{number}]", one, other, tolerance):
                return said
        return None
    right = got == expected if isinstance(expected, str) else near(got, expected, tolerance)
    return None if right else f"{what} is {short(got)}, expected {short(expected)}"


def scores(got: dict, expected: dict, tolerance: float) -> str | None:
    classes = got.get("classes")
    if not isinstance(classes, list):
        return f"no classes, expected scores {short(expected)}; got {short(got)}"
    names = [one.get("label") for one in classes]
    by_name = {one.get("label"): one.get("score") for one in classes}
    if len(names) != len(by_name) or set(by_name) != set(expected):
        return f"classes are {short(names)}, expected {short(list(expected))}"
    for name, score in expected.items():
        if said := numbers(f"score of {name!r}", by_name[name], score, tolerance):
            return said
    # `score` and the first class belong to the label.
    if names[0] != got.get("label"):
        return f"label is {short(got.get('label'))}, but the first class {short(names[0])}"
    return numbers("score", got.get("score"), by_name[names[0]], 0)


def entities(got: object, expected: list, tolerance: float) -> str | None:
    if not isinstance(got, list) or len(got) != len(expected):
        return f"entities are {short(got)}, expected {short(expected)}"
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        for key, value in other.items():
            if said := numbers(f"entities[{number}].{key}", one.get(key), value, tolerance):
                return said
    return None


def entry(got: dict, expected: dict, tolerance: float) -> str | None:
    """One row, text or image. Only the keys that `expected` has are compared."""
    for key, value in expected.items():
        match key:
            case "label":
                said = None if got.get(key) == value else f"label is {short(got.get(key))}, expected {short(value)}"
                if said and key not in got:
                    said = f"no label in {short(got)}, expected {short(value)}"
            case "scores":
                said = scores(got, value, tolerance)
            case "value" | "embedding":
                said = numbers(key, got.get(key), value, tolerance) if key in got else f"no {key} in {short(got)}"
            case "entities":
                said = entities(got.get(key), value, tolerance)
            case _:
                raise ValueError(f"`expected` has the key {key}, which is none")
        if said:
            return said
    return None


def answer(status: int, body: str, request: dict, tolerance: float) -> tuple[str, str | None]:
    """right, refused (as it should be), badly (refused, or in other words), or wrong; and why."""
    expected = request.get("expected", request.get("expected_v2"))
    if expected is None:
        raise ValueError("a request has neither `expected` nor `expected_v2`")
    if isinstance(expected, dict) and "error" in expected and "expected_v2" not in request:
        return refusal(status, body, expected)
    if status != 200:
        return "badly", f"answered {status}: {short(sentence_of(body))}"
    got = json.loads(body)
    if "expected_v2" in request:
        outputs = {one["name"]: one.get("data") for one in got["outputs"]}
        for name, data in expected.items():
            if said := numbers(f"output `{name}`", outputs.get(name), data, tolerance):
                return "wrong", said
        return "right", None
    result = got.get("result")
    if isinstance(result, dict):
        result = [result]
    if not isinstance(result, list) or len(result) != len(expected):
        return "wrong", f"expected {len(expected)} answers, got {short(got)}"
    for number, (one, other) in enumerate(zip(result, expected, strict=True)):
        if said := entry(one, other, tolerance):
            return "wrong", f"answer {number}: {said}"
    return "right", None


def refusal(status: int, body: str, expected: dict) -> tuple[str, str | None]:
    if status == 200:
        return "wrong", f"answered, where {expected['error']} is right: {short(body)}"
    sentence = sentence_of(body)
    if status != expected["error"]:
        return "badly", f"refused with {status} instead of {expected['error']}: {short(sentence)}"
    return words(sentence, expected.get("says", []), "refused")


def sentence_of(body: str) -> str:
    """Words are looked for in the sentence, not in the escapes of JSON."""
    try:
        said = json.loads(body)
        return said.get("detail") or said.get("error") or body
    except (ValueError, AttributeError):
        return body


def words(text: str, wanted: list[str], well: str) -> tuple[str, str | None]:
    flat = " ".join(text.split()).lower()
    missing = [one for one in wanted if one.lower() not in flat]
    if missing:
        return "badly", f"nothing says {short(missing)}: {short(text.strip())}"
    return well, None
