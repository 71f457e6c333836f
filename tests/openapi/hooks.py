"""Files of images and lines of JSON for Schemathesis: real ones, broken ones, and bytes that are none."""

from pathlib import Path

import schemathesis
from hypothesis import strategies

IMAGES = Path(__file__).resolve().parents[1] / "fixtures" / "images"
# Small ones, so that a run is not spent on sending.
FILES = sorted(path for path in IMAGES.rglob("*.*") if path.stat().st_size < 20_000)


def files(*suffixes: str) -> strategies.SearchStrategy[bytes]:
    chosen = [path.read_bytes() for path in FILES if path.suffix in suffixes or not suffixes]
    return strategies.sampled_from(chosen) | strategies.binary(max_size=200)


for media_type, suffixes in (
    ("image/jpeg", (".jpg",)),
    ("image/png", (".png",)),
    ("image/webp", (".webp",)),
    ("image/gif", (".gif",)),
    ("image/bmp", (".bmp",)),
    ("application/octet-stream", ()),
):
    schemathesis.openapi.media_type(media_type, files(*suffixes))

# One good line, one bad one, one that is no JSON, and none.
LINES = (
    b'{"id": 1, "features": [[5.1, 3.5, 1.4, 0.2]]}\n{"id": 2, "features": [[5.1]]}\n',
    b'{"text": "It broke after a week."}\n{"text": ["a", "b"], "parameters": {"top_k": 1}}',
    b'{"text": "unended\n\n[]\nnull\n',
    b"\n",
)


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value: str) -> bytes:
    """The document's example as it is. Other text is hardly ever JSON, so every second one is lines."""
    if value.startswith("{") or len(value) % 2:
        return value.encode("utf-8", "replace")
    return LINES[len(value) // 2 % len(LINES)]


@schemathesis.hook
def filter_case(_context, case) -> bool:
    """Leaves out what breaks the document's letter but is no fault to take."""
    # Headers that nobody knows are passed over, as HTTP asks.
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        return False
    # A stream of whatever bytes is taken, and its answer says what is wrong in a line.
    if case.media_type == "application/x-ndjson" and not isinstance(case.body, str):
        return False
    # In a form a list of one part and the part itself are the same bytes.
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        return all(isinstance(case.body.get(name, []), list) for name in ("image", "text"))
    return True
