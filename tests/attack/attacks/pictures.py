"""Image files that are larger, longer or deeper than they look, and files with bytes changed."""

import functools
import io
import random
import struct
import threading
import zlib
from collections.abc import Callable

from PIL import Image

from attack import IMAGES, Attack, Context, Figure
from http1 import post

# An image that is taken has at most 16.8 million pixels (limits.max_image_pixels), at 6 bytes each, and its reduced
# copy. The peak is of the whole process, whose own size swings by some 20 MB.
GROWTH_MB = 200
SLOWEST_SECONDS = 2
MUTANTS = 3_000
TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@functools.cache
def squeezed(size: int, byte: bytes = b"\0") -> bytes:
    """`size` equal bytes as zlib has them."""
    compress = zlib.compressobj(9)
    part = byte * (1 << 20)
    whole = b"".join(compress.compress(part) for _ in range(size >> 20))
    return whole + compress.compress(byte * (size & 0xFFFFF)) + compress.flush()


def png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 2,
    data: bytes | None = None,
    extra: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    """A black picture, whatever its size; `data` may say otherwise of its pixels."""
    if data is None:
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        line = 1 + (width * depth * channels + 7) // 8
        data = squeezed(min(line * height, 300_000_000))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text(name: bytes, size: int) -> bytes:
    return name + b"\0\0" + squeezed(size)


def gif(width: int, height: int, frames: int = 1, picture: tuple[int, int] = (1, 1)) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
    # A clear code, one pixel, the end.
    pixels = b"\x02\x02\x44\x01\0"
    one = b"\x2c" + struct.pack("<HHHH", 0, 0, *picture) + b"\0" + pixels
    return screen + one * frames + b"\x3b"


def gif_of_clears(size: int) -> bytes:
    """Codes that only clear the table."""
    blocks = b"\xff" + b"\x92\x24\x49" * 85
    body = b"\x02" + blocks * (size // 256) + b"\0"
    return gif(1, 1)[:19] + b"\x2c" + struct.pack("<HHHH", 0, 0, 4_000, 4_000) + b"\0" + body + b"\x3b"


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_lossless(width: int, height: int) -> bytes:
    """28 bytes that claim up to 16,384 × 16,384."""
    bits = (width - 1) | (height - 1) << 14
    return riff((b"VP8L", b"\x2f" + struct.pack("<I", bits) + b"\x88\x88\x08\0"))


def webp_lossy(width: int, height: int) -> bytes:
    return riff((b"VP8 ", b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(20)))


def webp_extended(width: int, height: int, flags: int, *parts: tuple[bytes, bytes]) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return riff((b"VP8X", bytes((flags, 0, 0, 0)) + size), *parts)


def bmp(width: int, height: int, depth: int = 24, compression: int = 0, data: bytes = bytes(64)) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(data), 0, 0, 0, 0)
    palette = bytes(1_024) if depth <= 8 else b""
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


@functools.cache
def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, kind, **options)
    return out.getvalue()


def jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    """A small picture that claims this size."""
    whole = bytearray(saved("JPEG", progressive=progressive))
    at = whole.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    whole[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(whole)


def jpeg_segments(marker: int, count: int, data: bytes) -> bytes:
    """With so many segments before the picture."""
    whole = saved("JPEG")
    return whole[:2] + (b"\xff" + bytes((marker,)) + struct.pack(">H", len(data) + 2) + data) * count + whole[2:]


def jpeg_scans(count: int) -> bytes:
    """A progressive picture of 16 million pixels whose last scan comes again and again."""
    whole = jpeg(4_000, 4_000, progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + b"\xff\xd9"


def animation(kind: str, frames: int, side: int) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("P" if kind == "GIF" else "RGB", (side, side), (n * 7) % 256) for n in range(frames)]
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:])
    return out.getvalue()


def bombs() -> list[tuple[str, str, Callable[[], bytes]]]:
    """Name, kind and how it is made."""
    icc = chunk(b"iCCP", text(b"a", 200 << 20))
    exif = b"Exif\0\0II*\0\x08\0\0\0"
    # An IFD that is its own next one; one that says 65,535 entries.
    endless, many = exif + struct.pack("<HI", 0, 8), exif + struct.pack("<H", 65_535)
    return [
        ("65,000 squared", "png", lambda: png(65_000, 65_000)),
        ("2^31 - 1 squared", "png", lambda: png(2**31 - 1, 2**31 - 1, data=squeezed(1 << 20))),
        ("1 × 500 million", "png", lambda: png(1, 500_000_000, data=squeezed(1 << 20))),
        ("500 million × 1", "png", lambda: png(500_000_000, 1, data=squeezed(1 << 20))),
        ("0 × 0", "png", lambda: png(0, 0, data=b"")),
        ("8,192 squared of 1 bit", "png", lambda: png(8_192, 8_192, 1, 0)),
        ("4,096 squared of 64 bits", "png", lambda: png(4_096, 4_096, 16, 6)),
        ("4,096 squared, interlaced", "png", lambda: png(4_096, 4_096, 8, 6, interlaced=1)),
        ("4,096 squared of a palette", "png", lambda: png(4_096, 4_096, 8, 3)),
        ("8,192 × 2,048", "png", lambda: png(8_192, 2_048)),
        ("more pixels than it says", "png", lambda: png(16, 16, data=squeezed(300 << 20))),
        ("iCCP of 200 MB", "png", lambda: png(17, 13, extra=icc)),
        ("ten iCCP of 200 MB", "png", lambda: png(17, 13, extra=icc * 10)),
        ("zTXt of 200 MB", "png", lambda: png(17, 13, extra=chunk(b"zTXt", text(b"a", 200 << 20)))),
        ("a hundred zTXt of 50 MB", "png", lambda: png(17, 13, extra=chunk(b"zTXt", text(b"a", 50 << 20)) * 100)),
        ("iTXt of 200 MB", "png", lambda: png(17, 13, extra=chunk(b"iTXt", b"a\0\1\0\0\0" + squeezed(200 << 20)))),
        ("tEXt of 16 MB", "png", lambda: png(17, 13, extra=chunk(b"tEXt", b"a\0" + b"b" * (16 << 20)))),
        (
            "raw profile of EXIF, 200 MB",
            "png",
            lambda: png(17, 13, extra=chunk(b"zTXt", text(b"Raw profile type exif", 200 << 20))),
        ),
        ("eXIf of 16 MB", "png", lambda: png(17, 13, extra=chunk(b"eXIf", b"II*\0" + bytes(16 << 20)))),
        ("a million empty chunks", "png", lambda: png(17, 13, extra=chunk(b"aaAa", b"") * 1_000_000)),
        ("a million empty IDAT", "png", lambda: png(17, 13, extra=chunk(b"IDAT", b"") * 1_000_000)),
        ("animated, 2^31 frames", "png", lambda: png(17, 13, extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))),
        ("65,500 squared", "jpg", lambda: jpeg(65_500, 65_500)),
        ("1 × 65,500", "jpg", lambda: jpeg(1, 65_500)),
        ("0 high", "jpg", lambda: jpeg(64, 0)),
        ("4,000 squared of nothing", "jpg", lambda: jpeg(4_000, 4_000)),
        ("4,000 squared, progressive", "jpg", lambda: jpeg(4_000, 4_000, progressive=True)),
        ("4,000 squared, 2,000 scans", "jpg", lambda: jpeg_scans(2_000)),
        ("400 segments of ICC", "jpg", lambda: jpeg_segments(0xE2, 400, b"ICC_PROFILE\0\1\1" + bytes(65_000))),
        ("8 million empty comments", "jpg", lambda: jpeg_segments(0xFE, 8_000_000, b"")),
        ("EXIF without an end", "jpg", lambda: jpeg_segments(0xE1, 1, endless)),
        ("EXIF of 65,535 entries", "jpg", lambda: jpeg_segments(0xE1, 400, many + bytes(60_000))),
        ("a million tables", "jpg", lambda: jpeg_segments(0xDB, 450_000, bytes(65))),
        ("screen of 65,535 squared", "gif", lambda: gif(65_535, 65_535)),
        ("picture of 65,535 squared", "gif", lambda: gif(65_535, 65_535, picture=(65_535, 65_535))),
        ("a million frames", "gif", lambda: gif(100, 100, frames=1_000_000)),
        ("clear codes, 10 MB", "gif", lambda: gif_of_clears(10_000_000)),
        ("300 frames of 500 squared", "gif", lambda: animation("GIF", 300, 500)),
        ("28 bytes, 16,384 squared", "webp", lambda: webp_lossless(16_384, 16_384)),
        ("28 bytes, 4,096 squared", "webp", lambda: webp_lossless(4_096, 4_096)),
        ("lossy, 16,383 squared", "webp", lambda: webp_lossy(16_383, 16_383)),
        ("extended, 16,777,216 squared", "webp", lambda: webp_extended(1 << 24, 1 << 24, 0)),
        ("animated, 16,384 squared", "webp", lambda: webp_extended(16_384, 16_384, 2, (b"ANIM", bytes(6)))),
        ("100 frames of 200 squared", "webp", lambda: animation("WEBP", 100, 200)),
        ("ICC of 16 MB", "webp", lambda: webp_extended(64, 64, 32, (b"ICCP", bytes(16 << 20)), (b"VP8L", b"\x2f"))),
        ("65,000 squared", "bmp", lambda: bmp(65_000, 65_000)),
        ("-2^31 high", "bmp", lambda: bmp(1, -(2**31))),
        ("run lengths of nothing, 8,000 × 2,000", "bmp", lambda: bmp(8_000, 2_000, 8, 1, b"\0\0" * 100_000)),
    ]


def bombed(context: Context) -> list[Figure]:
    every = 1 if context.seconds >= 8 else 4
    start, growth, slowest, wrong = context.memory_mb(), (0.0, ""), (0.0, ""), []
    made = bombs()[::every]
    for name, kind, make in made:
        request = post("/predict/efficientnet-lite0", make(), TYPES[kind])
        try:
            answer = context.ask(request)
        except OSError as error:
            wrong.append(f"{kind} {name}: {error}")
            continue
        if answer.status == 500:
            wrong.append(f"{kind} {name}: {answer.status}")
        if answer.seconds > slowest[0]:
            slowest = (answer.seconds, f"{kind} {name}")
        if context.memory_mb("VmHWM") - start > growth[0]:
            growth = (context.memory_mb("VmHWM") - start, f"{kind} {name}")
    return [
        Figure("neither taken nor refused", len(wrong), 0, f"of {len(made)}", ", ".join(wrong)),
        Figure("one takes", growth[0], GROWTH_MB, "MB", growth[1]),
        Figure("slowest", slowest[0], SLOWEST_SECONDS, "s", slowest[1]),
    ]


def mutant(whole: bytes, draw: random.Random) -> bytes:
    """With a few bytes changed, a part moved or gone; of PNG with right checksums, else nothing gets further."""
    data = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(data))
        match draw.randrange(5):
            case 0:
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                data[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at : at + draw.randrange(1, 64)]
            case 3:
                data[at:at] = data[draw.randrange(len(data)) :][: draw.randrange(1, 64)]
            case _:
                data[at : at + 4] = struct.pack(">I", draw.choice((0, 1, 0xFFFF, 2**31 - 1, 2**32 - 1)))
        if len(data) < 16:
            return whole[: draw.randrange(16)]
    return mended(bytes(data)) if whole[:4] == b"\x89PNG" else bytes(data)


def mended(data: bytes) -> bytes:
    out, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        out += data[at : at + 8 + length] + struct.pack(">I", zlib.crc32(data[at + 4 : at + 8 + length]))
        at += 12 + length
    return out + data[at:]


def mutated(context: Context) -> list[Figure]:
    files = sorted(path for path in IMAGES.iterdir() if path.is_file() and path.stat().st_size < 40_000)
    originals = [(path.suffix[1:], path.read_bytes()) for path in files]
    counts = {"sent": 0, "taken": 0, "500": 0, "no answer": 0}
    told: list[str] = []
    lock = threading.Lock()

    def attacker(number: int) -> None:
        draw = random.Random(number)
        while context.goes_on() and counts["sent"] < MUTANTS:
            kind, whole = draw.choice(originals)
            data = mutant(whole, draw)
            try:
                status = context.ask(post("/predict/efficientnet-lite0", data, TYPES[kind])).status
            except (OSError, ValueError, IndexError):
                status = 0
            with lock:
                counts["sent"] += 1
                counts["taken"] += status == 200
                counts["500"] += status == 500
                counts["no answer"] += status == 0
                if status in (0, 500):
                    told.append(f"{number} {kind} {status}")

    threads = [threading.Thread(target=attacker, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(context.left + 60)
    of = f"of {counts['sent']}"
    return [
        Figure("answered by a 500", counts["500"], 0, of, f"{counts['taken']} were taken; " + ", ".join(told[:5])),
        Figure("no answer", counts["no answer"], 0, of),
    ]


HELD = [
    Attack(
        "image_bombs",
        0,
        f"{len(bombs())} files of a few KB that claim or hold far more: PNG, JPEG, GIF, WebP, BMP",
        bombed,
        12,
        short=5,
        growth_mb=GROWTH_MB,
    ),
    Attack("mutated_images", 0, f"up to {MUTANTS:,} images with bytes changed", mutated, 15),
]
