"""Classifies every photo below a folder, several at once, and tries again when the server is full.

Prints a line of JSON for each photo, in the order of their names.

Usage: photos_async.py FOLDER [AT_ONCE]    ONNXD_URL: the server, http://127.0.0.1:8080 by default
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

import httpx

URL = os.environ.get("ONNXD_URL", "http://127.0.0.1:8080")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
# 429: too much work. 503: no replica is ready. Both were refused before any work was spent on them.
AGAIN = {429, 503}
TRIES = 8


async def classify(client: httpx.AsyncClient, photo: Path) -> dict:
    """The prediction, or the server's problem of this photo."""
    body = await asyncio.to_thread(photo.read_bytes)
    for tried in range(1, TRIES + 1):
        answer = await client.post("/predict", content=body)
        if answer.is_success:
            return answer.json()["result"][0]
        if answer.status_code not in AGAIN or tried == TRIES:
            return {"problem": answer.json()["detail"]}
        # Whole seconds; the random part keeps those that were refused together from coming together.
        wait = float(answer.headers.get("retry-after", 1))
        await asyncio.sleep(wait * random.uniform(1, 1.5))
    raise AssertionError("the last try returns")


async def main(folder: Path, at_once: int) -> int:
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    # As many connections as photos at once: the server shares out its cores, more of both only wait.
    limits = httpx.Limits(max_connections=at_once)
    # Work that may wait lets others go first. The client waits longer than the server's own 30 s.
    headers = {"content-type": "application/octet-stream", "x-priority": "bulk"}
    room, failed = asyncio.Semaphore(at_once), 0
    async with httpx.AsyncClient(base_url=URL, headers=headers, limits=limits, timeout=60) as client:

        async def one(photo: Path) -> dict:
            async with room:
                return await classify(client, photo)

        for photo, task in [(photo, asyncio.create_task(one(photo))) for photo in photos]:
            answer = await task
            failed += "problem" in answer
            print(json.dumps({"photo": str(photo.relative_to(folder)), **answer}), flush=True)
    print(f"{len(photos)} photos, {failed} refused", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16)))
