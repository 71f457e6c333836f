"""Requests of many large images beside those of one."""

from attack import Attack, Context, Figure, image
from attacks.crowd import crowd
from http1 import post

CLIENTS = 4
BOUNDARY = "part"


def form_of(photos: list[bytes]) -> bytes:
    """A form of these images, each a little different, so that none shares its work."""
    parts = [
        b'--part\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"content-type: image/jpeg\r\n\r\n%b%d\r\n" % (photo, number)
        for number, photo in enumerate(photos)
    ]
    return b"".join(parts) + b"--part--\r\n"


def run(context: Context) -> list[Figure]:
    photo = image("jpeg-1280x720.jpg")
    request = post("/predict", form_of([photo] * 64), f"multipart/form-data; boundary={BOUNDARY}")
    statuses = crowd(context, CLIENTS, lambda _: context.ask(request).status)
    return [Figure("answered by a 500", statuses.count(500), 0, f"of {len(statuses)}")]


ATTACKS = [
    Attack("image_lists", 7, "four clients with 64 photos of 1280 × 720 a request, beside photos one by one", run, 15),
]
