# %% [markdown]
# # Latency under load
# How long callers wait for a photo, the more of them ask at once. Cells for an editor that knows `# %%`;
# as a script: `latency_plot.py [OUTPUT.svg|.png]`. ONNXD_URL: the server, http://127.0.0.1:8080 by default.
#
# The clients are threads of Python on the server's machine, and take some of its cores: what comes out
# is what such callers see. `onnxd bench` measures the server itself.

# %%
import io
import itertools
import os
import sys
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import requests
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from PIL import Image, ImageChops

URL = os.environ.get("ONNXD_URL", "http://127.0.0.1:8080")
OUTPUT = Path(sys.argv[1]) if len(sys.argv) > 1 and "ipykernel" not in sys.modules else Path("latency.svg")
SECONDS = float(os.environ.get("SECONDS_EACH", "5"))
CLIENTS = [1, 2, 4, 8, 16, 32]
PHOTO = Path(__file__).parent.parent / "tests/fixtures/images/jpeg-640x480.jpg"

# %% [markdown]
# Equal questions that are in work at once share one run, so each is the photo moved on by some pixels.

# %%


def moved(photo: Image.Image, pixels: int) -> bytes:
    file = io.BytesIO()
    ImageChops.offset(photo, pixels, 0).save(file, "jpeg", quality=90)
    return file.getvalue()


with Image.open(PHOTO) as photo:
    photos = itertools.cycle([moved(photo, 8 * step) for step in range(2 * max(CLIENTS))])

# %% [markdown]
# Each client asks again as soon as it is answered (a closed loop). Stages come from `server-timing`, in
# milliseconds, so that the plot shows where the time goes.

# %%


def client(end: float, waits: list, stages: list) -> None:
    with requests.Session() as session:
        session.headers["content-type"] = "image/jpeg"
        while (start := time.perf_counter()) < end:
            answer = session.post(f"{URL}/predict", data=next(photos), timeout=60)
            answer.raise_for_status()
            waits.append((time.perf_counter() - start) * 1e3)
            parts = (part.strip().split(";dur=") for part in answer.headers["server-timing"].split(","))
            stages.append({name: float(value) for name, value in parts})


def measure(count: int) -> dict:
    waits, stages = [], []
    end = time.perf_counter() + SECONDS
    threads = [threading.Thread(target=client, args=(end, waits, stages)) for _ in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    mean = {name: float(np.mean([stage.get(name, 0) for stage in stages])) for name in stages[0]}
    return {"clients": count, "rate": len(waits) / took, "p": np.percentile(waits, [50, 90, 99]), "stages": mean}


measure(1)  # The first requests find cold caches.
measured = []
for count in CLIENTS:
    one = measure(count)
    p50, p90, p99 = one["p"]
    print(f"{count:3} clients: {one['rate']:6.0f} photos/s, p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms")
    measured.append(one)

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
names = [str(one["clients"]) for one in measured]
for index, name in enumerate(("p50", "p90", "p99")):
    left.plot(names, [one["p"][index] for one in measured], marker="o", label=name)
left.set(ylabel="milliseconds", yscale="log", title="Latency")
left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
left.yaxis.set_major_formatter(ScalarFormatter())
left.yaxis.set_minor_formatter(NullFormatter())
middle.bar(names, [one["rate"] for one in measured], color="tab:gray")
middle.set(ylabel="photos a second", title="Throughput")
bottom = np.zeros(len(measured))
for name in measured[0]["stages"]:
    height = np.array([one["stages"][name] for one in measured])
    right.bar(names, height, bottom=bottom, label=name)
    bottom += height
right.set(ylabel="milliseconds, mean", title="Where the server spends it")
for panel in (left, middle, right):
    panel.set_xlabel("clients")
    panel.grid(alpha=0.3, axis="y", which="both")
    panel.set_axisbelow(True)
for panel in (left, right):
    panel.legend()
figure.savefig(OUTPUT)
print(f"{OUTPUT} has the plot")
