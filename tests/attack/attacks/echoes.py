"""What a client sends comes back: ids, shapes, names."""

from attack import MB, Attack, Context, Figure
from http1 import head, post
from http2 import field, varint

# Of a refusal: 256 bytes of what came in a few places, and the sentences around them.
REFUSAL_BYTES = 8_192
NAME_BYTES = 10_000_000
FEW = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}'


def requests() -> list[tuple[str, bytes]]:
    large = b"a" * NAME_BYTES
    infer, tensor = "/v2/models/iris/infer", b'"shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]'
    name = b'{"inputs": [{"name": "features", %b}], "outputs": [{"name": "%b"}]}'
    ones = b",".join([b"1"] * 5_000_000)
    escapes = b"\\u0001" * 1_500_000
    return [
        ("an id of a line", post("/predict/iris", b'{"id": "%b", %b' % (large, FEW[1:]), "application/x-ndjson")),
        ("an id of v2", post(infer, b'{"id": "%b", "inputs": [{"name": "features", %b}]}' % (large, tensor))),
        ("an id of 2 KiB", post(infer, b'{"id": "%b", "inputs": [{"name": "features", %b}]}' % (b"a" * 2_048, tensor))),
        (
            "a shape",
            post(infer, b'{"inputs": [{"name": "features", "shape": [%b], "datatype": "FP32", "data": [0]}]}' % ones),
        ),
        ("a datatype", post(infer, b'{"inputs": [{"name": "features", "shape": [1], "datatype": "%b"}]}' % large)),
        ("an input's name", post(infer, b'{"inputs": [{"name": "%b", %b}]}' % (large, tensor))),
        ("an output's name", post(infer, name % (tensor, large))),
        ("a version", post("/predict", b'{"model": "%b", %b' % (large, FEW[1:]))),
        ("escapes", post("/predict", b'{"%b": 0, %b' % (escapes, FEW[1:]))),
        ("a cell", post("/predict/iris", b'{"features": [["%b"]]}' % large)),
        ("a column's cell", post("/predict/iris", b'{"features": {"sepal_length": "%b"}}' % large)),
        ("a column of V1", post("/v1/models/iris:predict", b'{"inputs": {"%b": 0}}' % large)),
        ("a value of V1", post("/v1/models/iris:predict", b'{"instances": ["%b"]}' % large)),
        ("a parameter's value", post("/predict/iris", b'{"parameters": {"top_k": "%b"}, %b' % (large, FEW[1:]))),
        (
            "a parameter of Hugging Face",
            post("/models/sentiment-minilm", b'{"inputs": "a", "parameters": {"%b": 1}}' % large),
        ),
        ("an image", post("/predict", b'{"image": "%b"}' % (b"?" * len(large)))),
        ("a long number", post("/predict/iris", b'{"features": [[%b]]}' % (b"9" * len(large)))),
        ("a path", head("GET", "/" + "a" * 30_000)),
        ("a model", head("GET", "/v2/models/" + "a" * 30_000)),
        ("a query", post("/predict?top_k=" + "a" * 30_000, FEW)),
        ("a type", post("/predict", FEW, "a" * 30_000)),
        ("an encoding", post("/predict", FEW, content_encoding="a" * 30_000)),
        ("a request id", post("/predict", FEW, x_request_id="a" * 30_000)),
        ("a deadline", post("/predict", FEW, x_request_timeout_ms="9" * 30_000)),
        ("a header's length", post(infer, FEW, inference_header_content_length="9" * 30_000)),
    ]


def run(context: Context) -> list[Figure]:
    largest, unread = (0, ""), 0
    for name, request in requests():
        try:
            answer = context.ask(request)
        except OSError:
            unread += 1
            continue
        if name == "an id of 2 KiB" and answer.status < 400:
            largest = max(largest, (answer.length + REFUSAL_BYTES, name))
        largest = max(largest, (answer.length, name))
        if not context.goes_on() and context.seconds < 8:
            break
    large = b"a" * NAME_BYTES
    shape = varint(3 << 3 | 2) + varint(5_000_000) + b"\1" * 5_000_000
    messages = [
        ("a model of gRPC", field(1, large)),
        ("an id of gRPC", field(1, b"iris") + field(3, large)),
        ("a shape of gRPC", field(1, b"iris") + field(5, field(1, b"features") + field(2, b"FP32") + shape)),
        ("an input of gRPC", field(1, b"iris") + field(5, field(1, large) + field(2, b"FP32"))),
        ("a datatype of gRPC", field(1, b"iris") + field(5, field(1, b"features") + field(2, large))),
    ]
    for name, payload in messages if context.seconds >= 8 else messages[1:3]:
        try:
            with context.http2(timeout=60) as connection:
                largest = max(largest, (connection.grpc("ModelInfer", payload)[1], name))
        except OSError:
            unread += 1
    return [
        Figure("largest refusal", largest[0] / MB, REFUSAL_BYTES / MB, "MB", largest[1]),
        Figure("without an answer", unread, 0),
    ]


ATTACKS = [
    Attack("echoes", 6, "ids, shapes, names and values of 10 MB: how much of them comes back?", run, 20, short=5),
]
