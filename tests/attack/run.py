"""Attacks a server, and holds each attack to its bounds while a good client is served.

Usage: run.py [--binary ONNXD] [--short] [--list] [--container] [--json FILE] [NAME…]

Each attack runs in a process of its own. Meanwhile a good client from another address is served and must get
its answers, /health/live must answer, and the server must stay within its memory; afterwards it must be the
same process, give the same answer as before, and have let go of what the attack held. Exits 1 if a bound is
broken. docs/security.md has the table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import attacks
import http1
import table
from attack import ROOT, Attack, Context, Figure, image
from container import Container
from http1 import Closed, post
from server import Server
from watch import Seen, Watch

# What holds for every attack.
ANSWERED_PERCENT = 99
TIMES_QUIET = 10
LIVE_MS = 100
MEMORY_MB = 2_000
# Descriptors that the good client and probes may hold beside those that were there before, and how long the
# server may take to let go of the attack's.
DESCRIPTORS, RECOVERY_SECONDS = 40, 20
# Without an attack: what is normal on this machine.
QUIET_SECONDS, QUIET_SHORT_SECONDS = 30, 8
# Beyond its own time, for an attack's process to end.
PATIENCE = 90
# Attackers leave the processor to those whose waiting is measured.
NICE = 5


@dataclass
class Result:
    name: str
    rule: int
    does: str
    own: list[Figure] = field(default_factory=list)
    # Those that are the same for all attacks.
    common: list[Figure] = field(default_factory=list)
    seconds: float = 0

    @property
    def kept(self) -> bool:
        return all(figure.kept for figure in self.own + self.common)


class Suite:
    def __init__(self, binary: Path, short: bool, folder: Path, container: bool):
        self.binary, self.short, self.folder, self.container = binary, short, folder, container
        self.server: Server | None = None
        self.quiet: Seen | None = None

    def shared(self) -> Server:
        """The server of all attacks that need none of their own; a new one if it ended."""
        if self.server is None or not self.server.alive():
            kind = Container if self.container else Server
            self.server = kind(self.binary, self.folder / f"server-{time.monotonic_ns()}")
            warm(self.server)
        return self.server

    def measure_quiet(self) -> Seen:
        watch = Watch(self.shared())
        begun = time.time() + 1
        time.sleep(1 + (QUIET_SHORT_SECONDS if self.short else QUIET_SECONDS))
        self.quiet = watch.end(begun)
        if self.quiet.share < 100:
            raise SystemExit(f"the good client is not served without an attack: {self.quiet.statuses}")
        return self.quiet

    def run(self, attack: Attack) -> Result:
        result = Result(attack.name, attack.rule, attack.does)
        started = time.monotonic()
        server = self.shared() if attack.own is None else None
        if server is None:
            own = self.folder / attack.name
            server = Server(self.binary, own, attack.own)
            if not attack.ends:
                warm(server)
        try:
            self.attack(attack, server, result)
        finally:
            # What a broken attack left is not the next one's.
            if attack.own is not None or not result.kept:
                server.stop()
        result.seconds = time.monotonic() - started
        return result

    def attack(self, attack: Attack, server: Server, result: Result) -> None:
        before = None if attack.ends else canary(server)
        pid, memory, descriptors = server.pid, server.memory_mb(), server.descriptors()
        watch = None if attack.ends else Watch(server)
        begun = time.time()
        seconds = attack.short if self.short and attack.short else attack.seconds
        result.own = in_process(attack, server, seconds, self.folder)
        if watch is None:
            return
        seen = watch.end(begun)
        add = result.common.append
        alive = server.alive() and server.pid == pid
        add(Figure("ended", 0.0 if alive else 1.0, 0, "", "" if alive else server.why_ended()))
        if attack.quiet:
            add(Figure("not answered", 0.0, 0, "%"))
        else:
            told = ", ".join(f"{n} × {status}" for status, n in sorted(seen.statuses.items()) if status != "200")
            add(Figure("not answered", 100 - seen.share, 100 - ANSWERED_PERCENT, "%", told))
            add(Figure("times quiet p99", seen.p99_ms / self.quiet.p99_ms, TIMES_QUIET, "×", f"{seen.p99_ms:.0f} ms"))
            add(Figure("live p99", seen.live_p99_ms, LIVE_MS, "ms"))
        add(Figure("peak memory", seen.peak_mb, MEMORY_MB, "MB"))
        add(Figure("memory growth", seen.peak_mb - memory, attack.growth_mb, "MB"))
        if not alive:
            return
        recovered, left, held = recovers(server, descriptors + DESCRIPTORS)
        add(Figure("descriptors left", left - descriptors, DESCRIPTORS, "", f"after {recovered:.1f} s"))
        add(Figure("held by nobody", held, 0))
        after = canary(server)
        add(
            Figure("other answers", 0.0 if after == before else 1.0, 0, "", "" if after == before else str(after)[:200])
        )


def in_process(attack: Attack, server: Server, seconds: float, folder: Path) -> list[Figure]:
    """Runs an attack in a process of its own; its figures."""
    target = {
        "address": server.address,
        "admin": server.admin,
        "pid": server.pid,
        "seconds": seconds,
        "folder": str(server.folder),
        "binary": str(server.binary),
        "log": str(server.log),
    }
    command = [sys.executable, str(Path(__file__)), "--one", attack.name, json.dumps(target)]
    with tempfile.TemporaryFile("w+", dir=folder) as output:
        try:
            process = subprocess.Popen(command, stdout=output, preexec_fn=lambda: os.nice(NICE))
            status = process.wait(seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = "no end"
        output.seek(0)
        told = output.read()
    if status != 0:
        # Where the server has ended that is its fault, told elsewhere.
        return [Figure("the attack itself failed", 1.0, 0, "", str(status))] if server.alive() or attack.ends else []
    return [Figure(**figure) for figure in json.loads(told)]


def one(name: str, target: str) -> None:
    told = json.loads(target)
    context = Context(
        tuple(told["address"]),
        tuple(told["admin"]),
        told["pid"],
        told["seconds"],
        Path(told["folder"]),
        told["binary"],
        Path(told["log"]),
    )
    try:
        figures = attacks.BY_NAME[name].run(context)
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists(f"/proc/{context.pid}"):
            raise
        # The server has ended under the attack, which is told of the server.
        figures = []
    json.dump([asdict(figure) for figure in figures], sys.stdout)


def warm(server: Server) -> None:
    """Each of the good client's questions some times, so that what every server does once is done."""
    for _ in range(10):
        canary(server)


def canary(server: Server) -> list[str]:
    """Answers that must not change, asked from an address that attacks nothing."""
    named = {name.replace("-", "_"): value for name, value in server.headers.items()}
    asked = [
        post("/predict", image("jpeg-coffee.jpg"), "image/jpeg", **named),
        post("/predict", b'{"text": "It broke after a week."}', **named),
        post("/predict/iris", b'{"features": [[6.7, 3.0, 5.2, 2.3]]}', **named),
    ]
    told = []
    for request in asked:
        # What the attack left to be done is waited for.
        end = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                answer = http1.ask(server.address, request, "127.0.0.3", timeout=RECOVERY_SECONDS)
                told.append(f"{answer.status} {answer.body.decode()}")
                if answer.status == 200:
                    break
            except (Closed, OSError) as error:
                told.append(str(error))
            if time.monotonic() > end:
                break
            told.pop()
            time.sleep(0.1)
    return told


def recovers(server: Server, most: int) -> tuple[float, int, float]:
    """Seconds until the server is ready and has let go of what it held, and what it holds then."""
    start = time.monotonic()
    while True:
        left, held = server.descriptors(), server.held()
        took = time.monotonic() - start
        if (left <= most and held == 0 and server.is_ready()) or took > RECOVERY_SECONDS:
            return took, left, held
        time.sleep(0.1)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/onnxd")
    parser.add_argument("--short", action="store_true", help="the part for CI")
    parser.add_argument("--list", action="store_true", help="tell the attacks")
    parser.add_argument("--container", action="store_true", help="in a container of 2 GB, alone and eight at once")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    unknown = set(options.names) - set(attacks.BY_NAME)
    if unknown:
        sys.exit(f"no attack {', '.join(sorted(unknown))}; there are {', '.join(attacks.BY_NAME)}")
    chosen = [attack for attack in attacks.ALL if not options.names or attack.name in options.names]
    if options.short:
        chosen = [attack for attack in chosen if attack.short]
    if options.container:
        chosen = [attack for attack in chosen if attack.own is None and (options.names or attack.name in attacks.HEAVY)]
    if options.list:
        for attack in chosen:
            print(f"{attack.name:20} {attack.does}")
        return
    sys.exit(0 if run(chosen, options) else 1)


def run(chosen: list[Attack], options: argparse.Namespace) -> bool:
    work = ROOT / "target/attack"
    work.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=work, prefix="run-") as name:
        suite = Suite(options.binary.resolve(), options.short, Path(name), options.container)
        try:
            quiet = suite.measure_quiet()
            print(table.quiet(quiet), flush=True)
            if said := table.busy(quiet):
                print(said)
            print(table.HEAD, flush=True)
            for attack in chosen:
                results.append(suite.run(attack))
                print(table.row(results[-1]), flush=True)
        finally:
            if suite.server:
                suite.server.stop()
    broken = [result for result in results if not result.kept]
    print(f"{len(results)} attacks in {time.monotonic() - started:.0f} s, {len(broken)} with a broken bound")
    for result in broken:
        print(table.broken(result))
    if options.json:
        told = {"quiet": asdict(quiet), "attacks": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return not broken


if __name__ == "__main__":
    main()
