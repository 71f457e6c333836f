"""Heads that two parties may read differently, and forms that cost more than they say."""

from attack import Attack, Context, Figure

FEW = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}'
# What would be a second request if the first one's end were elsewhere.
SECOND = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
CLOSES_SECONDS = 3


def with_lines(
    *lines: bytes, body: bytes = b"", start: bytes = b"POST /predict/iris HTTP/1.1", end: bytes = b"\r\n"
) -> bytes:
    given = [line for line in lines if line.lower().startswith(b"host")] or [b"host: localhost"]
    if any(line == b"no host" for line in lines):
        given = []
    others = [line for line in lines if not line.lower().startswith(b"host") and line != b"no host"]
    return end.join([start, *given, *others]) + end + end + body


JSON = b"content-type: application/json"
LENGTH = b"content-length: %d" % len(FEW)
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(FEW), FEW)


def chunked(body: bytes) -> bytes:
    return with_lines(JSON, CHUNKED, body=body)


def form_of(boundary: bytes, header: bytes = b"") -> bytes:
    body = b'--%b\r\ncontent-disposition: form-data; name="features"\r\n%b\r\n[[1,2,3,4]]\r\n--%b--\r\n' % (
        boundary,
        header,
        boundary,
    )
    kind = b"content-type: multipart/form-data; boundary=" + boundary
    return with_lines(kind, b"content-length: %d" % len(body), body=body)


REFUSED: dict[str, bytes] = {
    "both lengths": with_lines(JSON, LENGTH, CHUNKED, body=CHUNKS),
    "both lengths, the other way round": with_lines(JSON, CHUNKED, b"content-length: 4", body=CHUNKS),
    "two lengths": with_lines(JSON, LENGTH, b"content-length: 5", body=FEW),
    "two lengths in one": with_lines(JSON, LENGTH + b", 5", body=FEW),
    "length +36": with_lines(JSON, b"content-length: +%d" % len(FEW), body=FEW),
    "length -1": with_lines(JSON, b"content-length: -1", body=FEW),
    "length 0x24": with_lines(JSON, b"content-length: 0x24", body=FEW),
    "length of 2^64": with_lines(JSON, b"content-length: 18446744073709551652", body=FEW),
    "length of nothing": with_lines(JSON, b"content-length:", body=FEW),
    "xchunked": with_lines(JSON, b"transfer-encoding: xchunked", body=CHUNKS),
    "identity": with_lines(JSON, b"transfer-encoding: identity", LENGTH, body=FEW),
    "chunked, identity": with_lines(JSON, b"transfer-encoding: chunked, identity", body=CHUNKS),
    "chunked twice": with_lines(JSON, CHUNKED, CHUNKED, body=CHUNKS),
    "chunked with a vertical tab": with_lines(JSON, b"transfer-encoding: \x0bchunked", body=CHUNKS),
    "gzip, chunked": with_lines(JSON, b"transfer-encoding: gzip, chunked", body=CHUNKS),
    "space before the colon": with_lines(JSON, b"transfer-encoding : chunked", body=CHUNKS),
    "space before a length": with_lines(JSON, b"content-length : %d" % len(FEW), body=FEW),
    "chunked in HTTP/1.0": with_lines(JSON, CHUNKED, start=b"POST /predict/iris HTTP/1.0", body=CHUNKS),
    "bare LF": with_lines(JSON, LENGTH, body=FEW, end=b"\n"),
    "one bare LF": with_lines(JSON, LENGTH + b"\nx-a: b", body=FEW),
    "bare CR": with_lines(JSON, LENGTH, b"x-a: b\rc", body=FEW),
    "folded header": with_lines(JSON, LENGTH, b"x-a: b\r\n c", body=FEW),
    "NUL in a header": with_lines(JSON, LENGTH, b"x-a: b\0c", body=FEW),
    "header without a colon": with_lines(JSON, LENGTH, b"x-a", body=FEW),
    "header without a name": with_lines(JSON, LENGTH, b": b", body=FEW),
    "space in a name": with_lines(JSON, LENGTH, b"x a: b", body=FEW),
    "space before a name": with_lines(b" x-a: b", JSON, LENGTH, body=FEW),
    "no Host": with_lines(b"no host", JSON, LENGTH, body=FEW),
    "two Hosts": with_lines(b"host: localhost", b"host: elsewhere", JSON, LENGTH, body=FEW),
    "the same Host twice": with_lines(b"host: localhost", b"host: localhost", JSON, LENGTH, body=FEW),
    "Host with a path": with_lines(b"host: localhost/a", JSON, LENGTH, body=FEW),
    "Host with a space": with_lines(b"host: local host", JSON, LENGTH, body=FEW),
    "Host with a user": with_lines(b"host: a@localhost", JSON, LENGTH, body=FEW),
    "Host with a bad port": with_lines(b"host: localhost:http", JSON, LENGTH, body=FEW),
    "HTTP/1.2": with_lines(JSON, LENGTH, start=b"POST /predict/iris HTTP/1.2", body=FEW),
    "HTTP/0.9": b"GET /v2/health/live\r\n\r\n",
    "two spaces": with_lines(JSON, LENGTH, start=b"POST  /predict/iris  HTTP/1.1", body=FEW),
    "a tab": with_lines(JSON, LENGTH, start=b"POST\t/predict/iris\tHTTP/1.1", body=FEW),
    "chunk of -1": chunked(b"-1\r\n" + FEW + b"\r\n0\r\n\r\n"),
    "chunk of 0x24": chunked(b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(FEW), FEW)),
    "chunk of 2^64": chunked(b"10000000000000024\r\n" + FEW + b"\r\n0\r\n\r\n"),
    "chunk with a bare LF": chunked(b"%x\n%b\r\n0\r\n\r\n" % (len(FEW), FEW)),
    "chunk without an end": chunked(b"%x\r\n%bxx0\r\n\r\n" % (len(FEW), FEW)),
    "chunk extension of 64 KiB": chunked(b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(FEW), b"a" * 65_536, FEW)),
    "trailers of 64 KiB": chunked(b"%x\r\n%b\r\n0\r\nx-a: %b\r\n\r\n" % (len(FEW), FEW, b"a" * 65_536)),
    "boundary of 71 bytes": form_of(b"b" * 71),
    "boundary of 10 KiB": form_of(b"b" * 10_240),
    "part header of 20 KiB": form_of(b"b", b"x-a: %b\r\n" % (b"a" * 20_480)),
    "part with 2,000 headers": form_of(b"b", b"x-a: b\r\n" * 2_000),
}
ALLOWED: dict[str, bytes] = {
    "plain": with_lines(JSON, LENGTH, body=FEW),
    "chunked": chunked(CHUNKS),
    "Chunked": with_lines(JSON, b"Transfer-Encoding: Chunked", body=CHUNKS),
    "chunk extension": chunked(b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(FEW), FEW)),
    "Host with a port": with_lines(b"host: localhost:8080", JSON, LENGTH, body=FEW),
    "Host of IPv6": with_lines(b"host: [::1]:8080", JSON, LENGTH, body=FEW),
    "empty Host": with_lines(b"host:", JSON, LENGTH, body=FEW),
    "absolute URI": with_lines(JSON, LENGTH, start=b"POST http://localhost/predict/iris HTTP/1.1", body=FEW),
    "HTTP/1.0 without Host": with_lines(b"no host", JSON, LENGTH, start=b"POST /predict/iris HTTP/1.0", body=FEW),
    "boundary of 70 bytes": form_of(b"b" * 70),
}


def run(context: Context) -> list[Figure]:
    taken = [name for name, request in REFUSED.items() if not refused(context, request)]
    # So that the good client is watched for long enough.
    while context.goes_on():
        for request in REFUSED.values():
            with context.connect(timeout=5) as connection:
                connection.send(request + SECOND)
                connection.closes(0.05)
    denied = [name for name, request in ALLOWED.items() if context.ask(request, timeout=10).status != 200]
    return [
        Figure("not refused", len(taken), 0, f"of {len(REFUSED)}", ", ".join(taken)),
        Figure("wrongly refused", len(denied), 0, f"of {len(ALLOWED)}", ", ".join(denied)),
    ]


def refused(context: Context, request: bytes) -> bool:
    """Whether the answer is 400 (431, where it is about size) and the connection closed after it."""
    with context.connect(timeout=5) as connection:
        connection.send(request + SECOND)
        try:
            status = connection.answer().status
        except (OSError, ValueError, IndexError):
            # Closed without a word refuses as well.
            return connection.closes(CLOSES_SECONDS)
        if status not in (400, 413, 431, 501, 505):
            return False
        # A second answer would be one to what was smuggled.
        return (
            connection.buffer[:5] != b"HTTP/"
            and connection.closes(CLOSES_SECONDS)
            and connection.buffer[:5] != b"HTTP/"
        )


ATTACKS = [
    Attack("smuggling", 9, f"{len(REFUSED)} heads, chunks and forms that must be 400 and close", run, 12, short=4),
]
