"""Make the test pictures in tests/fixtures/images/ from freely licensed photos.

The photos ship with scikit-image (public domain or CC0) and scikit-learn
(CC BY 2.0); tests/fixtures/README.md credits each of them. With the versions
pinned in requirements-images.txt every run writes the same bytes.

    python tests/reference/make_images.py [only the files whose name contains this]
"""

import io
import struct
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import png
import simplejpeg
import skimage.data
import sklearn.datasets
from PIL import Image, ImageCms, ImageDraw, ImageOps

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "images"
PHOTO_DIRS = [
    Path(skimage.data.__file__).parent,
    Path(sklearn.datasets.__file__).parent / "images",
]
# The photos, and details of them that are more plainly one thing: (left, top, right, bottom).
PHOTOS = {
    "astronaut": ("astronaut.png", None),
    "helmet": ("astronaut.png", (181, 290, 457, 474)),
    "camera": ("camera.png", None),
    "chelsea": ("chelsea.png", None),
    "cat": ("chelsea.png", (162, 78, 400, 248)),
    "china": ("china.jpg", None),
    "palace": ("china.jpg", (12, 40, 453, 354)),
    "coffee": ("coffee.png", None),
    "flower": ("flower.jpg", None),
    "dahlia": ("flower.jpg", (13, 45, 530, 414)),
    "rocket": ("rocket.jpg", None),
}
ORIENTATION_TAG = 0x0112
# How upright pixels are stored so that a reader honouring the tag undoes it.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


# --- Building blocks ---------------------------------------------------------


@cache
def original(name):
    """The photo or its detail as RGB, without its profile and comments."""
    file, box = PHOTOS[name]
    path = next(folder / file for folder in PHOTO_DIRS if (folder / file).exists())
    with Image.open(path) as image:
        pixels = image.convert("RGB").crop(box)
    pixels.info.clear()
    return pixels


@cache
def photo(name, width, height):
    """The photo cropped about its centre and resized to width x height."""
    return ImageOps.fit(original(name), (width, height), Image.Resampling.LANCZOS)


def encoded(image, fmt, **options):
    """The bytes of the picture as Pillow writes them."""
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def jpeg(image, quality=85, **options):
    return encoded(image, "JPEG", quality=quality, **options)


def png_file(image, **options):
    return encoded(image, "PNG", **options)


def webp(image, **options):
    return encoded(image, "WEBP", **options)


def gif(image, **options):
    return encoded(image, "GIF", **options)


def bmp(image):
    return encoded(image, "BMP")


def stored(image, orientation):
    """The upright picture as its pixels lie in a file with that orientation."""
    method = STORED_AS[orientation]
    return image if method is None else image.transpose(method)


def exif(orientation, endian="<"):
    """An EXIF block that holds only the orientation."""
    block = Image.Exif()
    block.endian = endian
    block[ORIENTATION_TAG] = orientation
    return block


def swapped_profile():
    """An sRGB profile with red and blue swapped: whoever applies it shows it."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the date of creation
    for position in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12):
        swap = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
        tag = bytes(data[position : position + 4])
        data[position : position + 4] = swap.get(tag, tag)
    return bytes(data)


def with_alpha(image, levels=256):
    """The picture with an alpha that rises from 0 at the left to 255 at the right."""
    width, height = image.size
    ramp = np.linspace(0, 255, width)
    ramp = np.round(np.round(ramp / 255 * (levels - 1)) / (levels - 1) * 255)
    alpha = np.tile(ramp.astype(np.uint8), (height, 1))
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def cmyk(image):
    """CMYK samples (height, width, 4) with half of the grey moved into black."""
    rgb = np.asarray(image, np.float64) / 255
    black = (1 - rgb.max(axis=2, keepdims=True)) / 2
    colours = 1 - rgb / (1 - black)
    return np.round(np.concatenate([colours, black], axis=2) * 255).astype(np.uint8)


def deep(name, width, height, mode="RGB"):
    """A 16-bit version of a photo, (height, width, bands), with real low bytes."""
    small = original(name).convert(mode)
    small = ImageOps.fit(small, (width // 2, height // 2), Image.Resampling.LANCZOS)
    bands = [
        np.asarray(band.convert("F").resize((width, height), Image.Resampling.BICUBIC))
        for band in small.split()
    ]
    return np.clip(np.round(np.stack(bands, axis=2) * 257.0), 0, 65535).astype(np.uint16)


def pypng(samples, **options):
    """A PNG written by pypng, for what Pillow does not write."""
    samples = np.atleast_3d(np.asarray(samples))
    height, width, bands = samples.shape
    options.setdefault("greyscale", bands < 3)
    options.setdefault("alpha", bands in (2, 4))
    options.setdefault("bitdepth", samples.dtype.itemsize * 8)
    writer = png.Writer(width, height, **options)
    rows = samples.reshape(height, width * bands).tolist()
    buffer = io.BytesIO()
    if options.get("interlace"):
        writer.write_array(buffer, [value for row in rows for value in row])
    else:
        writer.write(buffer, rows)
    return buffer.getvalue()


def adam7(image):
    """The picture as an interlaced PNG."""
    options = {"interlace": True}
    if image.mode == "P":
        palette = image.getpalette()
        options["palette"] = [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]
        options["greyscale"] = False
    return pypng(image, **options)


def chunk(kind, data):
    """One PNG chunk."""
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def insert_chunk(data, kind, payload):
    """A PNG file with one more chunk right after its header."""
    return data[:33] + chunk(kind, payload) + data[33:]


def damaged_png(data, in_crc):
    """A PNG whose first IDAT has a wrong CRC, or broken data under a right CRC."""
    start = data.index(b"IDAT")
    end = start + 4 + struct.unpack_from(">I", data, start - 4)[0]
    body = bytearray(data[start + 4 : end])
    if in_crc:
        fixed = bytearray(chunk(b"IDAT", bytes(body)))
        fixed[-1] ^= 0xFF
    else:
        body[100:108] = bytes(value ^ 0xFF for value in body[100:108])
        fixed = chunk(b"IDAT", bytes(body))
    return data[: start - 4] + bytes(fixed) + data[end + 4 :]


def palette_with_alpha(image, colours=128):
    """A palette PNG whose first 64 entries are transparent to different degrees."""
    reduced = image.quantize(colours, dither=Image.Dither.NONE)
    return png_file(reduced, transparency=bytes(range(0, 256, 4)))


def gif_with_hole(image):
    """A GIF with a transparent ellipse in its upper left quarter."""
    reduced = image.quantize(200, dither=Image.Dither.NONE)
    width, height = image.size
    ImageDraw.Draw(reduced).ellipse((0, 0, width // 2, height // 2), fill=200)
    return gif(reduced, transparency=200)


def bmp_top_down(image):
    """A BMP whose rows run from the top, told by a negative height."""
    data = bytearray(bmp(ImageOps.flip(image)))
    struct.pack_into("<i", data, 22, -image.height)
    return bytes(data)


def jpeg_with_size(data, width, height):
    """A baseline JPEG whose header claims another size."""
    data = bytearray(data)
    struct.pack_into(">HH", data, data.index(b"\xff\xc0\x00\x11") + 5, height, width)
    return bytes(data)


def jpeg_header_only(data):
    """A JPEG cut off right after the header of its scan."""
    start = data.index(b"\xff\xda")
    return data[: start + 2 + struct.unpack_from(">H", data, start + 2)[0]]


# --- The files ---------------------------------------------------------------


def jpegs():
    """Baseline and progressive JPEGs of all the usual kinds."""
    for name, width, height in [
        ("astronaut", 420, 420),
        ("chelsea", 451, 300),
        ("china", 640, 427),
        ("coffee", 600, 400),
        ("flower", 640, 427),
        ("rocket", 640, 427),
    ]:
        yield f"jpeg-{name}.jpg", jpeg(photo(name, width, height))

    for number, sampling in enumerate(("444", "422", "420")):
        yield f"jpeg-{sampling}.jpg", jpeg(photo("palace", 400, 300), subsampling=number)
    for sampling in ("411", "440"):
        samples = np.asarray(photo("palace", 400, 300))
        yield (
            f"jpeg-{sampling}.jpg",
            simplejpeg.encode_jpeg(samples, quality=85, colorsubsampling=sampling),
        )

    for quality in (30, 75, 95):
        yield f"jpeg-quality-{quality}.jpg", jpeg(photo("coffee", 384, 288), quality)

    dahlia = photo("dahlia", 400, 300)
    yield "jpeg-progressive.jpg", jpeg(dahlia, progressive=True)
    yield "jpeg-progressive-444.jpg", jpeg(dahlia, progressive=True, subsampling=0)
    yield "jpeg-optimized.jpg", jpeg(dahlia, optimize=True)
    yield "jpeg-restart-blocks.jpg", jpeg(dahlia, restart_marker_blocks=7)
    yield "jpeg-restart-rows.jpg", jpeg(dahlia, restart_marker_rows=1)
    yield (
        "jpeg-restart-progressive.jpg",
        jpeg(dahlia, progressive=True, restart_marker_rows=2),
    )
    yield "jpeg-rgb-colours.jpg", jpeg(dahlia, keep_rgb=True)

    yield "jpeg-grey.jpg", jpeg(photo("camera", 320, 320).convert("L"))
    yield (
        "jpeg-grey-progressive.jpg",
        jpeg(photo("helmet", 320, 240).convert("L"), progressive=True),
    )
    inks = cmyk(photo("cat", 320, 240))
    yield "jpeg-cmyk.jpg", jpeg(Image.fromarray(inks, "CMYK"))
    yield (
        "jpeg-ycck.jpg",
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(255 - inks), 90, colorspace="CMYK", colorsubsampling="420"
        ),
    )

    for orientation in STORED_AS:
        upright = photo("cat", 320, 208)
        yield (
            f"jpeg-orientation-{orientation}.jpg",
            jpeg(stored(upright, orientation), exif=exif(orientation)),
        )
    yield (
        "jpeg-orientation-6-bigendian.jpg",
        jpeg(stored(photo("helmet", 320, 208), 6), exif=exif(6, ">")),
    )
    yield "jpeg-orientation-0.jpg", jpeg(photo("coffee", 320, 208), exif=exif(0))
    yield (
        "jpeg-icc.jpg",
        jpeg(photo("helmet", 320, 320), icc_profile=swapped_profile()),
    )

    yield "jpeg-333x251.jpg", jpeg(photo("helmet", 333, 251))
    yield "jpeg-251x333.jpg", jpeg(photo("rocket", 251, 333), subsampling=1)
    yield "jpeg-225x223-progressive.jpg", jpeg(photo("coffee", 225, 223), progressive=True)
    yield "jpeg-224x224.jpg", jpeg(photo("cat", 224, 224))
    yield "jpeg-640x480.jpg", jpeg(photo("coffee", 640, 480))
    yield "jpeg-1280x720.jpg", jpeg(photo("china", 1280, 720), 75)
    yield "jpeg-12mp.jpg", jpeg(photo("coffee", 4000, 3000), 72)
    yield "jpeg-12mp-progressive.jpg", jpeg(photo("flower", 3000, 4000), 72, progressive=True)

    yield "jpeg-32x24.jpg", jpeg(photo("chelsea", 32, 24))
    yield "jpeg-1x1.jpg", jpeg(photo("dahlia", 1, 1))
    yield "jpeg-17x9.jpg", jpeg(photo("rocket", 17, 9))
    yield "jpeg-8x600.jpg", jpeg(photo("palace", 8, 600))
    yield "jpeg-600x8.jpg", jpeg(photo("palace", 600, 8))


def pngs():
    """PNGs of every colour type and depth."""
    yield "png-rgb.png", png_file(photo("cat", 300, 200))
    yield "png-rgb-333x251.png", png_file(photo("coffee", 333, 251))
    yield "png-rgb-1x1.png", png_file(photo("coffee", 1, 1))
    yield "png-rgb-tiny.png", png_file(photo("helmet", 24, 32))
    yield (
        "png-rgb-colour-key.png",
        png_file(photo("dahlia", 200, 150), transparency=(12, 34, 56)),
    )
    yield "png-rgba.png", png_file(with_alpha(photo("coffee", 240, 180)))
    yield "png-rgba-opaque.png", png_file(photo("helmet", 240, 160).convert("RGBA"))
    yield "png-grey.png", png_file(photo("camera", 256, 256).convert("L"))
    yield (
        "png-grey-alpha.png",
        png_file(with_alpha(photo("cat", 240, 160).convert("L"))),
    )
    for bits, name in ((1, "camera"), (2, "camera"), (4, "chelsea")):
        samples = np.asarray(photo(name, 240, 180).convert("L")) >> (8 - bits)
        yield f"png-grey-{bits}bit.png", pypng(samples, bitdepth=bits)
    yield "png-1bit-dithered.png", png_file(photo("camera", 320, 320).convert("1"))

    yield "png-grey-16bit.png", pypng(deep("camera", 200, 200, "L"))
    yield "png-rgb-16bit.png", pypng(deep("coffee", 160, 120))
    rgba = np.asarray(with_alpha(photo("cat", 160, 120)), np.uint16)[..., 3:] * 257
    yield (
        "png-rgba-16bit.png",
        pypng(np.concatenate([deep("cat", 160, 120), rgba], axis=2)),
    )

    reduced = photo("palace", 320, 240).quantize(256, dither=Image.Dither.NONE)
    yield "png-palette.png", png_file(reduced)
    few = photo("coffee", 320, 240).quantize(16, dither=Image.Dither.NONE)
    yield "png-palette-4bit.png", png_file(few, bits=4)
    yield "png-palette-alpha.png", palette_with_alpha(photo("cat", 280, 200))

    yield "png-interlaced.png", adam7(photo("helmet", 245, 163))
    yield "png-interlaced-grey.png", adam7(photo("camera", 203, 151).convert("L"))
    yield "png-interlaced-palette.png", adam7(reduced.crop((40, 30, 237, 189)))
    yield "png-interlaced-alpha.png", adam7(with_alpha(photo("coffee", 155, 117)))

    upright = photo("helmet", 240, 200)
    yield "png-orientation-8.png", png_file(stored(upright, 8), exif=exif(8))
    yield "png-orientation-5.png", png_file(stored(upright, 5), exif=exif(5))
    yield (
        "png-icc.png",
        png_file(photo("cat", 240, 160), icc_profile=swapped_profile()),
    )
    gamma = png_file(photo("coffee", 210, 140))
    yield "png-gamma.png", insert_chunk(gamma, b"gAMA", struct.pack(">I", 100000))


def webps():
    """Lossy and lossless WebP pictures."""
    for name in ("cat", "rocket", "coffee"):
        yield f"webp-lossy-{name}.webp", webp(photo(name, 400, 267), quality=80)
    yield "webp-lossy-quality-20.webp", webp(photo("palace", 400, 300), quality=20)
    yield "webp-lossless.webp", webp(photo("dahlia", 240, 160), lossless=True)
    yield "webp-lossless-333x251.webp", webp(photo("coffee", 333, 251), lossless=True)
    yield (
        "webp-lossy-alpha.webp",
        webp(with_alpha(photo("helmet", 300, 300)), quality=80, exact=True),
    )
    yield (
        "webp-lossless-alpha.webp",
        webp(with_alpha(photo("cat", 240, 160), 6), lossless=True, exact=True),
    )
    upright = photo("coffee", 320, 208)
    yield (
        "webp-orientation-6.webp",
        webp(stored(upright, 6), quality=85, exif=exif(6).tobytes()),
    )
    yield (
        "webp-lossless-orientation-3.webp",
        webp(stored(photo("helmet", 200, 133), 3), lossless=True, exif=exif(3).tobytes()),
    )


def gifs():
    """GIF pictures: of an animation the first frame counts."""
    cat = photo("cat", 300, 200).quantize(256, dither=Image.Dither.NONE)
    yield "gif-static.gif", gif(cat, interlace=0)
    yield "gif-interlaced.gif", gif(cat, interlace=1)
    yield "gif-grey.gif", gif(photo("camera", 224, 224).convert("L"))
    yield "gif-transparent.gif", gif_with_hole(photo("coffee", 300, 200))
    frames = [
        photo(name, 220, 160).quantize(128, dither=Image.Dither.NONE)
        for name in ("coffee", "rocket", "astronaut")
    ]
    yield (
        "gif-animated.gif",
        gif(frames[0], save_all=True, append_images=frames[1:], duration=100, loop=0),
    )


def bmps():
    """BMP pictures."""
    yield "bmp-24bit.bmp", bmp(photo("coffee", 201, 150))
    yield "bmp-24bit-top-down.bmp", bmp_top_down(photo("cat", 201, 134))
    reduced = photo("cat", 271, 180).quantize(200, dither=Image.Dither.NONE)
    yield "bmp-palette.bmp", bmp(reduced)
    yield "bmp-grey.bmp", bmp(photo("camera", 200, 200).convert("L"))
    yield "bmp-1bit.bmp", bmp(photo("camera", 301, 300).convert("1"))
    yield "bmp-32bit.bmp", bmp(with_alpha(photo("coffee", 160, 120)))


def bads():
    """Files that a server refuses (animated WebP included)."""
    image = photo("cat", 160, 120)
    whole = jpeg(image)
    yield "bad/truncated.jpg", whole[: len(whole) // 2]
    progressive = jpeg(image, progressive=True)
    yield "bad/truncated-progressive.jpg", progressive[: len(progressive) // 2]
    yield "bad/header-only.jpg", jpeg_header_only(whole)
    yield "bad/claims-60000x60000.jpg", jpeg_with_size(whole, 60000, 60000)
    yield "bad/text.jpg", b"This is plain text and not a picture.\n" * 4
    yield "bad/empty.jpg", b""

    whole = png_file(image)
    yield "bad/truncated.png", whole[: len(whole) // 2]
    yield "bad/header-only.png", whole[:33]
    yield "bad/wrong-crc.png", damaged_png(whole, in_crc=True)
    yield "bad/corrupt-data.png", damaged_png(whole, in_crc=False)
    # Valid but too large: over 8192 a side, and over 16.8 million pixels.
    yield "bad/size-10000x1000.png", png_file(Image.new("1", (10000, 1000), 1))
    yield "bad/size-8000x8000.png", png_file(Image.new("1", (8000, 8000), 1))
    tiny = png_file(photo("cat", 17, 13))
    packer = zlib.compressobj(9)
    profile = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    yield "bad/icc-200mb.png", insert_chunk(tiny, b"iCCP", b"icc\0\0" + profile)

    whole = webp(image, quality=80)
    yield "bad/truncated.webp", whole[: len(whole) // 2]
    frames = [photo(name, 160, 120) for name in ("coffee", "rocket", "astronaut")]
    yield (
        "webp-animated.webp",
        webp(frames[0], save_all=True, append_images=frames[1:], duration=100),
    )
    whole = gif(image.quantize(128, dither=Image.Dither.NONE))
    yield "bad/truncated.gif", whole[: len(whole) // 2]


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    (OUT / "bad").mkdir(parents=True, exist_ok=True)
    total = 0
    for group in (jpegs, pngs, webps, gifs, bmps, bads):
        for name, data in group():
            if only in name:
                (OUT / name).write_bytes(data)
                total += len(data)
                print(f"{len(data):9}  {name}")
    print(f"{total:9}  in all")


if __name__ == "__main__":
    main()
