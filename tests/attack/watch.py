"""Watches a server while it is attacked: the good client, /health/live, memory and descriptors."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from attack import percentile
from http1 import Closed
from server import Server

# Seconds between two looks.
LIVE_EVERY, SAMPLE_EVERY = 0.1, 0.05
LIVE_PATIENCE = 5
# After the end of an attack, for the good client's last answers.
LAST_SECONDS = 30


@dataclass
class Seen:
    """What the good client and the probe saw."""

    asked: int
    answered: int
    p50_ms: float
    p99_ms: float
    live_p99_ms: float
    # Largest VmHWM, or of sampled VmRSS where the system does not let us begin it anew.
    peak_mb: float
    descriptors: int
    statuses: dict[str, int]

    @property
    def share(self) -> float:
        return 100 * self.answered / self.asked if self.asked else 0.0


class Watch:
    def __init__(self, server: Server):
        self.server = server
        self.resets = server.forget_peak()
        self.live: list[float] = []
        self.peak_mb, self.descriptors = 0.0, 0
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in (self.probe, self.sample)]
        command = [sys.executable, str(Path(__file__).with_name("good.py")), *map(str, server.address)]
        command += [f"{name}: {value}" for name, value in server.headers.items()]
        self.good = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for thread in self.threads:
            thread.start()

    def probe(self) -> None:
        """A probe is due at its time, so that one that hangs does not hide those behind it."""
        start, number = time.time(), 0
        while not self.ended.is_set():
            due = start + number * LIVE_EVERY
            number += 1
            if self.ended.wait(max(0.0, due - time.time())):
                return
            took = float("inf")
            try:
                answer = self.server.ask_admin("/health/live", LIVE_PATIENCE)
                if answer.status == 200:
                    # How late it was asked at all, and how long the answer took by the kernel's clock.
                    late = max(0.0, time.time() - due - answer.seconds)
                    took = answer.seconds + (late if late > LIVE_EVERY else 0.0)
            except (Closed, OSError, ValueError):
                pass
            self.live.append(min(took, LIVE_PATIENCE) * 1e3)

    def sample(self) -> None:
        while not self.ended.wait(SAMPLE_EVERY):
            try:
                self.peak_mb = max(self.peak_mb, self.server.memory_mb())
                self.descriptors = max(self.descriptors, self.server.descriptors())
            except (OSError, ProcessLookupError):
                return

    def end(self, begun: float) -> Seen:
        """What was seen of requests that were due since `begun`, in seconds since the epoch."""
        try:
            told, _ = self.good.communicate("", timeout=LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.good.kill()
            told = "[]"
        self.ended.set()
        for thread in self.threads:
            thread.join(LIVE_PATIENCE + 1)
        if self.resets and self.server.alive():
            self.peak_mb = max(self.peak_mb, self.server.memory_mb("VmHWM"))
        done = [one for one in json.loads(told or "[]") if one[0] >= begun]
        statuses: dict[str, int] = {}
        for _, _, status, said in done:
            told = f"{status} {said}".strip()
            statuses[told] = statuses.get(told, 0) + 1
        # What was refused was quick, and counts as not answered.
        times = [milliseconds for _, milliseconds, status, _ in done if status < 300]
        return Seen(
            asked=len(done),
            answered=statuses.get("200", 0),
            p50_ms=percentile(times, 50),
            p99_ms=percentile(times, 99),
            live_p99_ms=percentile(self.live, 99),
            peak_mb=self.peak_mb,
            descriptors=self.descriptors,
            statuses=statuses,
        )
