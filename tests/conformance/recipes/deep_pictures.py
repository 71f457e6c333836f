"""Small pictures: of other sizes than any model's, with all colours, one grey, one with transparency, one turned by EXIF."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, width: int, height: int) -> Image.Image:
    """Waves and a gradient in three colours; smooth, so that the file is small."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width]
    layers = []
    for _ in range(3):
        a, b, c = rng.uniform(-0.25, 0.25, 2).tolist() + [rng.uniform(0, 6)]
        layers.append(128 + 100 * np.sin(a * x + b * y + c) + rng.uniform(-0.6, 0.6) * (x - width / 2))
    return Image.fromarray(np.clip(np.rint(np.stack(layers, axis=-1)), 0, 255).astype(np.uint8))


SIZES = [(50, 38), (33, 61), (24, 24)]


def files(folder: Path, more: bool = False) -> list[str]:
    """PNG, so that no decoder's rounding comes in between."""
    found = []
    for number, (width, height) in enumerate(SIZES[:2] if not more else SIZES):
        name = f"{number}.png"
        picture(number, width, height).save(folder / name)
        found.append(name)
    if more:
        picture(7, 40, 30).convert("L").save(folder / "grey.png")
        exif = Image.Exif()
        exif[0x0112] = 6
        picture(8, 45, 28).save(folder / "turned.png", exif=exif)
        found += ["grey.png", "turned.png"]
    return found


def training(count: int = 24) -> list[Image.Image]:
    rng = np.random.default_rng(99)
    return [picture(100 + number, *(int(side) for side in rng.integers(24, 70, 2))) for number in range(count)]
