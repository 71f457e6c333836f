"""Texts and rows of tokens whose work grows faster than their bytes."""

import json
import struct

from attack import Attack, Context, Figure
from http1 import post

# Of the network for 64 rows of 512 tokens, in batches as large as are allowed, and of the process as a whole.
GROWTH_MB = 150
SLOWEST_SECONDS = 20
MODEL = "sentiment-minilm"


def pairs(count: int, first: str, second: str) -> bytes:
    body = json.dumps({"text": [[first, second]] * count}).encode()
    return post(f"/predict/{MODEL}", body, x_request_timeout_ms="10000")


def rows(count: int, tokens: int) -> bytes:
    """Token ids as the network takes them, in binary."""
    shape, names = [count, tokens], ("input_ids", "attention_mask")
    inputs = [
        {"name": name, "shape": shape, "datatype": "INT64", "parameters": {"binary_data_size": 8 * count * tokens}}
        for name in names
    ]
    head = json.dumps({"inputs": inputs}).encode()
    data = struct.pack("<q", 5) * (count * tokens) + struct.pack("<q", 1) * (count * tokens)
    return post(
        f"/v2/models/{MODEL}/infer",
        head + data,
        "application/octet-stream",
        inference_header_content_length=str(len(head)),
        x_request_timeout_ms="10000",
    )


def run(context: Context) -> list[Figure]:
    requests = {
        "8 pairs of dots": pairs(8, "." * 8_190, "." * 8_190),
        "24 pairs of dots": pairs(24, "." * 8_190, "." * 8_190),
        "256 pairs of words": pairs(256, "a b " * 2_000, "c d " * 2_000),
        "uneven pairs": pairs(64, ".", "." * 16_000),
        "a row of 513 tokens": rows(1, 513),
        "a row of a million tokens": rows(1, 1_000_000),
        "64 rows of 512 tokens": rows(64, 512),
        "256 rows of 512 tokens": rows(256, 512),
    }
    start, growth, slowest, failed = context.memory_mb(), (0.0, ""), (0.0, ""), []
    context.begin()
    for name, request in requests.items():
        answer = context.ask(request)
        if answer.status == 500:
            failed.append(name)
        slowest = max(slowest, (answer.seconds, f"{name}: {answer.status}"))
        growth = max(growth, (context.memory_mb("VmHWM") - start, name))
    return [
        Figure("one takes", growth[0], GROWTH_MB, "MB", growth[1]),
        Figure("slowest answer", slowest[0], SLOWEST_SECONDS, "s", slowest[1]),
        Figure("answered by a 500", len(failed), 0, f"of {len(requests)}", ", ".join(failed)),
    ]


ATTACKS = [
    Attack("many_tokens", 2, "pairs of long texts; rows of tokens, to a million in one, past the tokenizer", run, 20),
]
