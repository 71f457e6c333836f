"""Files that another changes while the server uses them: keys, kept graphs, models."""

import hashlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from attack import ROOT, Attack, Context, Figure, Own, image, metrics
from http1 import head, post

KEY, OTHER = "the good client's key", "another key"
# server.reload_interval, in which the file is looked at.
RELOADED_SECONDS = 5
STARTED_SECONDS = 60
# A configuration or a model that cannot be served.
REFUSED = 78
MODELS = ROOT / "models"


def line(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() + "\n"


def keys_file(folder: Path) -> dict[str, str]:
    """Many keys, of which the last is the good client's."""
    lines = [line(f"key {number}") for number in range(100)]
    (folder / "keys").write_text("".join(lines) + line(KEY))
    return {"ONNXD_SERVER__API_KEYS_FILE": str(folder / "keys")}


def rewritten(context: Context) -> list[Figure]:
    """The keys file is written anew in place, a line now and then; in the end it has a new key as well."""
    file = context.folder / "keys"
    lines = [*file.read_text().splitlines(keepends=True)]
    lines.insert(50, line(OTHER))
    # For longer than one look, so that the server looks into the middle.
    pause = 2.4 * RELOADED_SECONDS / len(lines)
    with file.open("r+") as out:
        out.truncate(0)
        for one in lines:
            out.write(one)
            out.flush()
            time.sleep(pause)
    asked = post("/predict/iris", b'{"features": [[5.1, 3.5, 1.4, 0.2]]}', x_api_key=OTHER)
    end = time.monotonic() + 4 * RELOADED_SECONDS
    while (status := context.ask(asked).status) != 200 and time.monotonic() < end:
        time.sleep(0.2)
    return [Figure("the new key is not known", float(status != 200), 0)]


def weights(context: Context) -> list[Figure]:
    """Kept weights are overwritten and cut while they are in use, by somebody with the same user."""
    files = [path for path in (context.folder / "cache").rglob("*") if path.name == "weights.bin"]
    for path in files:
        size = path.stat().st_size
        with path.open("r+b") as out:
            out.write(bytes(min(size, 1 << 20)))
        context.sleep(1)
        os.truncate(path, 0)
    while context.goes_on():
        try:
            context.ask(post("/predict", image("jpeg-coffee.jpg"), "image/jpeg"))
        except OSError:
            context.sleep(0.1)
    # Without kept weights the attack would show nothing.
    return [Figure("no weights are kept", float(not files), 0)]


def environment(context: Context, models: Path, cache: Path) -> dict[str, str]:
    """For a server beside the one that is attacked."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("ONNXD_")}
    return mine | {
        "ONNXD_SERVER__LISTEN": "127.0.0.1:0",
        "ONNXD_ADMIN__LISTEN": "",
        "ONNXD_RUNTIME__DEVICE": "cpu",
        "ONNXD_MODELS__PATH": str(models),
        "ORT_DYLIB_PATH": str(ROOT / ".onnxruntime/libonnxruntime.so"),
        "XDG_CACHE_HOME": str(cache),
    }


def check(context: Context, models: Path, cache: Path) -> int:
    """The exit status of `serve --check`; -1000 if it does not end."""
    command = [context.binary, "serve", "--check"]
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment(context, models, cache),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=STARTED_SECONDS,
        ).returncode
    except subprocess.TimeoutExpired:
        return -1000


def leftovers(context: Context) -> list[Figure]:
    """Servers are killed while they make an entry; the next start removes what they left, and serves."""
    cache, models = context.folder / "killed-cache", context.folder / "killed"
    models.mkdir()
    (models / "efficientnet-lite0").symlink_to(MODELS / "efficientnet-lite0")
    killed = 0
    for _ in range(3):
        before = unfinished(cache)
        command = [context.binary, "serve", "--check"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(context, models, cache),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and unfinished(cache) <= before:
            time.sleep(0.002)
        killed += process.poll() is None
        process.kill()
        process.wait()
    status = check(context, models, cache)
    return [
        Figure("folders left behind", len(unfinished(cache)), 0, f"of {killed}"),
        Figure("the next start fails", float(status != 0), 0),
    ]


def unfinished(cache: Path) -> set[Path]:
    """Entries that are being made, or were."""
    return set((cache / "onnxd").glob(".*"))


def damaged_caches(context: Context) -> list[Figure]:
    """Each file of a kept graph, damaged in five ways: the next start makes it anew."""
    models, cache = context.folder / "one", context.folder / "one-cache"
    models.mkdir()
    (models / "efficientnet-lite0").symlink_to(MODELS / "efficientnet-lite0")
    failed: list[str] = []
    for damage in ("flip", "cut", "empty", "gone", "link"):
        check(context, models, cache)
        entries = [path for path in (cache / "onnxd").glob("*/*") if path.is_file()]
        for path in entries:
            content = bytearray(path.read_bytes())
            path.unlink()
            match damage:
                case "flip":
                    content[len(content) // 2] ^= 0xFF
                    path.write_bytes(content)
                case "cut":
                    path.write_bytes(content[: len(content) // 2])
                case "empty":
                    path.touch()
                case "link":
                    path.symlink_to("/etc/passwd")
        if not entries or (status := check(context, models, cache)) != 0:
            failed.append(f"{damage}: {'nothing kept' if not entries else status}")
        if not context.goes_on():
            break
    return [Figure("starts that fail", len(failed), 0, "", ", ".join(failed))]


def damaged_models(context: Context) -> list[Figure]:
    """Files of a model with bytes changed, cut off or gone: served or refused, never a crash or a hang."""
    bad: list[str] = []
    number = 0
    while context.goes_on() and number < 40:
        models = context.folder / f"damaged-{number}"
        source = MODELS / ("iris", "sentiment-tfidf")[number % 2]
        shutil.copytree(source, models / "m", dirs_exist_ok=True)
        victims = sorted(path for path in (models / "m").iterdir() if path.suffix in (".onnx", ".json", ".txt"))
        victim = context.random.choice(victims)
        content = bytearray(victim.read_bytes())
        match number % 4:
            case 0:
                content = content[: context.random.randrange(len(content))]
            case 1:
                content += os.urandom(100)
            case _:
                for _ in range(1 + number % 7):
                    content[context.random.randrange(len(content))] = context.random.randrange(256)
        victim.write_bytes(content)
        status = check(context, models, context.folder / "damaged-cache")
        if status not in (0, REFUSED):
            bad.append(f"{victim.name} {number}: {status}")
        shutil.rmtree(models)
        number += 1
    return [Figure("neither served nor refused", len(bad), 0, f"of {number}", ", ".join(bad))]


def scan(context: Context) -> list[Figure]:
    """Paths that there are not, as fast as they can be asked for."""
    series = len(metrics(context.admin))
    written, started = context.log.stat().st_size, time.monotonic()
    asked = [0] * 2

    def scanner(number: int) -> None:
        connection = None
        while context.goes_on():
            try:
                connection = connection or context.connect(timeout=10)
                batch = [
                    head(("GET", "POST")[at % 2], f"/{context.random.getrandbits(64):x}/" + "a" * (at % 100) * 50)
                    for at in range(50)
                ]
                connection.send(b"".join(batch))
                for _ in batch:
                    connection.answer()
                asked[number] += len(batch)
            except (OSError, ValueError, IndexError):
                connection = None
        if connection:
            connection.close()

    threads = [threading.Thread(target=scanner, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    log = (context.log.stat().st_size - written) / 1e6 / seconds
    told = f"{sum(asked) / seconds:.0f} paths a second"
    return [
        Figure("log", log, 0.1, "MB/s", told),
        Figure("new series of metrics", max(0, len(metrics(context.admin)) - series), 10),
    ]


ATTACKS = [
    Attack(
        "keys_rewritten",
        10,
        "the keys file is rewritten in place, slowly: a known key must go on working",
        rewritten,
        14,
        own=Own(prepare=keys_file, headers={"x-api-key": KEY}),
    ),
    Attack(
        "weights_cut",
        10,
        "a kept weights.bin is overwritten and cut to nothing while it is mapped",
        weights,
        8,
        own=Own(),
    ),
    Attack(
        "cache_leftovers",
        10,
        "folders in the graph cache that a killed process left",
        leftovers,
        1,
        quiet=True,
    ),
    Attack("path_scan", 10, "random paths as fast as possible: how much log?", scan, 8, short=4),
]
HELD = [
    Attack(
        "damaged_caches",
        0,
        "kept graphs flipped, cut, emptied, removed, linked elsewhere",
        damaged_caches,
        25,
        quiet=True,
    ),
    Attack(
        "damaged_models", 0, "40 models with damaged files: served or refused, no crash", damaged_models, 15, quiet=True
    ),
]
