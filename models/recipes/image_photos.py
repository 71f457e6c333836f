"""Photos for calibrating and comparing the image model, and its preprocessing.

The photos are the samples inside scikit-image and scikit-learn (free licences),
which also serve for calibration, and, for comparison only, the 20 labelled ImageNet
photos inside foolbox 3.3.4 (used from the package, never copied from it).
"""
import random
import re
from pathlib import Path

import numpy as np
import skimage
import sklearn
from PIL import Image

SIZE, RESIZE = 224, 256
SKIMAGE = [
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png",
    "camera.png", "coins.png", "brick.png", "grass.png", "gravel.png", "moon.png", "hubble_deep_field.jpg",
    "retina.jpg", "ihc.png",
]  # fmt: skip
SKLEARN = ["china.jpg", "flower.jpg"]


def preprocess(image):
    """Shorter side to 256 (bicubic), centre crop 224, (x - 127) / 128, [3, 224, 224]."""
    image = image.convert("RGB")
    w, h = image.size
    w, h = (RESIZE, round(h * RESIZE / w)) if w < h else (round(w * RESIZE / h), RESIZE)
    left, top = (w - SIZE) // 2, (h - SIZE) // 2
    image = image.resize((w, h), Image.BICUBIC).crop((left, top, left + SIZE, top + SIZE))
    return ((np.asarray(image, np.float32) - 127) / 128).transpose(2, 0, 1).copy()


def free_photos():
    folder = Path(skimage.__file__).parent / "data"
    paths = [folder / n for n in SKIMAGE if (folder / n).exists()]
    return paths + [Path(sklearn.__file__).parent / "datasets/images" / n for n in SKLEARN]


def labelled_photos(sources):
    """[(path, ImageNet class number)]"""
    paths = sorted((Path(sources) / "foolbox/data").glob("imagenet_*.jpg"))
    return [(p, int(re.search(r"_(\d+)\.jpg$", p.name)[1])) for p in paths]


def crops(path, count, seed, low, high):
    """Random crops of one photo, every second one mirrored."""
    rng = random.Random(f"{seed} {path.name}")
    image = Image.open(path).convert("RGB")
    for i in range(count):
        share = rng.uniform(low, high)
        w, h = int(image.width * share), int(image.height * share)
        left, top = rng.randint(0, image.width - w), rng.randint(0, image.height - h)
        crop = image.crop((left, top, left + w, top + h))
        yield crop.transpose(Image.FLIP_LEFT_RIGHT) if i % 2 else crop


def calibration_set():
    """Each free photo whole, and ten crops of it."""
    for path in free_photos():
        yield preprocess(Image.open(path))
        for crop in crops(path, 10, "calibration", 0.3, 1.0):
            yield preprocess(crop)


def comparison_set(sources, per_photo=20):
    """Other crops of the free photos, then crops of photos that calibration never sees."""
    paths = free_photos() + [p for p, _ in labelled_photos(sources)]
    for path in paths:
        for crop in crops(path, per_photo, "comparison", 0.3, 1.0):
            yield preprocess(crop)
