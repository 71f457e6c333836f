"""Restarts and kills two replicas behind HAProxy under load, and counts what the clients lose.

Usage: failures.py BINARY [RESTARTS [KILLS]]

1. Rolling restarts by SIGTERM, with config/production.toml: no request may fail. A fifth as many more
   while HAProxy repeats nothing at all.
2. SIGKILLs, for each of three settings of what HAProxy repeats. What may be lost:
   nothing                          what was in work at the killed replica, and what HAProxy sent to
                                    its closed port before the next check
   where no connection came about   (as in Compose) what was in work at the killed replica
   also where the replica died      nothing
Exits 1 if more is lost, or an answer is not its request's.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

from balancer import AS_COMPOSE, CONFIGURATION, RETRIES, Balancer, wait_until
from load import BALANCERS, Load, Question, questions

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "config/production.toml"
MODELS = ("iris", "sentiment-tfidf", "efficientnet-lite0")
# A restart, so 50,000 in twenty.
LEAST_REQUESTS = 2_500
# Bounds in seconds, far above what is usual: for a start, for a check of HAProxy, for an exit
# (grace_period and a margin), and for the rest of LEAST_REQUESTS.
START, CHECKED, EXIT, REST = 60, 10, 50, 180
# Answers that must come between two kills, so that each falls on a busy replica.
BETWEEN = 500
SETTLED = 100
# Seconds in which HAProxy notices that the connections to a dead process are closed.
NOTICED = 0.1


def free_ports(count: int) -> list[int]:
    """Ports below those that outgoing connections take: nobody gets one while its replica is away."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


class Replica:
    """One onnxd with the settings of production."""

    def __init__(self, name: str, binary: Path, folder: Path, ports: list[int]):
        self.name, self.binary, self.folder = name, binary, folder
        self.data, self.admin = ports
        self.log = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        settings = {
            "ONNXD_SERVER__LISTEN": f"127.0.0.1:{self.data}",
            "ONNXD_ADMIN__LISTEN": f"127.0.0.1:{self.admin}",
            "ONNXD_MODELS__PATH": str(self.folder / "models"),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", SETTINGS],
                env=os.environ | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"FAILED: {self.name} exits {self.process.returncode}\n{self.log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/health/ready", timeout=5):
                return True
        except OSError:
            return False

    def wait_ready(self) -> float:
        return wait_until(f"{self.name} is ready", START, self.ready)


class Check:
    """The replicas, the questions, and what went wrong so far."""

    def __init__(self, binary: Path, folder: Path):
        self.folder = folder
        (folder / "models").mkdir()
        for model in MODELS:
            (folder / "models" / model).symlink_to(ROOT / "models" / model)
        self.port, *ports = free_ports(5)
        self.replicas = [Replica(f"replica{n + 1}", binary, folder, ports[2 * n : 2 * n + 2]) for n in (0, 1)]
        self.violations: list[str] = []
        for replica in self.replicas:
            replica.wait_ready()

    def end(self) -> None:
        for replica in self.replicas:
            replica.process.kill()
            replica.process.wait()

    def balancer(self, retry: str) -> Balancer:
        ports = {replica.name: (replica.data, replica.admin) for replica in self.replicas}
        return Balancer(self.folder, self.port, ports, retry)

    def require(self, true: bool, what: str) -> None:
        if not true:
            self.violations.append(what)
            print(f"VIOLATION: {what}", flush=True)

    def wait_rotation(self, balancer: Balancer, replica: Replica, inside: bool) -> float:
        what = f"{replica.name} {'in' if inside else 'out of'} HAProxy's rotation"
        return wait_until(what, CHECKED, lambda: (replica.name in balancer.in_rotation()) == inside)

    def rolling_restarts(self, retry: str, restarts: int, small: list[Question], large: list[Question]) -> None:
        delay = tomllib.loads(SETTINGS.read_text())["server"]["drain_delay"]
        checks = re.search(r" inter (\S+)", CONFIGURATION.read_text())[1]
        print(f"{restarts} rolling restarts, HAProxy repeats: {retry}")
        print(f"drain_delay {delay}, HAProxy checks every {checks}. Seconds from:")
        print("         SIGTERM to   SIGTERM    start to   ready to  restart   answers   failed")
        print("         unbalanced   to exit       ready   balanced   in all    so far   so far", flush=True)
        times = []
        with self.balancer(retry) as balancer:
            for replica in self.replicas:
                self.wait_rotation(balancer, replica, inside=True)
            version = balancer.version()
            with Load(self.port, small, large) as load:
                self.require(load.wait_for(BETWEEN, START), "no load before the first restart")
                began = time.monotonic()
                for number in range(restarts):
                    replica = self.replicas[number % 2]
                    first = time.monotonic()
                    replica.process.terminate()
                    out = self.wait_rotation(balancer, replica, inside=False)
                    code = replica.process.wait(EXIT)
                    stopped = time.monotonic() - first
                    self.require(code == 0, f"restart {number + 1}: {replica.name} exits {code}")
                    replica.start()
                    ready = replica.wait_ready()
                    back = self.wait_rotation(balancer, replica, inside=True)
                    times.append(time.monotonic() - first)
                    print(
                        f"{replica.name:9}{out:10.2f}{stopped:10.2f}{ready:12.2f}{back:11.2f}{times[-1]:9.2f}"
                        f"{load.total():10}{len(load.failures):9}",
                        flush=True,
                    )
                took = time.monotonic() - began
                self.require(
                    load.wait_for(restarts * LEAST_REQUESTS, REST),
                    f"fewer than {LEAST_REQUESTS} requests a restart",
                )
            self.require(not load.failures, f"{len(load.failures)} requests failed: {load.failures[:5]}")
            logged = balancer.logged()
        for replica in self.replicas:
            share = sum(1 for request in logged.values() if request.server == replica.name)
            self.require(share > load.total() // 20, f"{replica.name} got only {share} requests")
        print(
            f"HAProxy {version}: {restarts} restarts in {took:.0f} s (the longest {max(times):.2f} s), "
            f"{load.total()} requests, outcomes {dict(load.outcomes)}, {len(load.failures)} failed",
            flush=True,
        )

    def kills(self, retry: str, kills: int, small: list[Question], large: list[Question]) -> str:
        """Kills one replica after the other; a row for the table."""
        print(f"{kills} SIGKILLs under load, HAProxy repeats: {retry}", flush=True)
        windows = []
        with self.balancer(retry) as balancer:
            for replica in self.replicas:
                self.wait_rotation(balancer, replica, inside=True)
            with Load(self.port, small, large) as load:
                for number in range(kills):
                    self.require(load.wait_for(load.total() + BETWEEN, START), "no load before a kill")
                    replica = self.replicas[number % 2]
                    killed = time.time()
                    replica.process.kill()
                    # Until then the kernel may take requests for it.
                    replica.process.wait()
                    windows.append((replica.name, killed, time.time()))
                    self.wait_rotation(balancer, replica, inside=False)
                    # What HAProxy had chosen it for just before has been answered by then; a server
                    # that starts answers 503 on its port while it loads.
                    self.require(load.wait_for(load.total() + SETTLED, START), "no load after a kill")
                    replica.start()
                    replica.wait_ready()
                    self.wait_rotation(balancer, replica, inside=True)
                self.require(load.wait_for(load.total() + BETWEEN, START), "no load after the kills")
            logged = balancer.logged()

        # HAProxy's own 503: no connection came about, so no replica saw these. Not taken from its log,
        # of which it drops some lines under load.
        refused = [f for f in load.failures if f.outcome == f"{BALANCERS}503"]
        left = [f for f in load.failures if f not in refused]
        lost = len(left)
        for name, killed, dead in windows:
            mine = [f for f in left if f.ended >= killed and f.began <= dead + NOTICED]
            left = [f for f in left if f not in mine]
            # HAProxy says where a request was, unless it closed the client's connection for it.
            elsewhere = [f for f in mine if f.request_id in logged and logged[f.request_id].server != name]
            self.require(not elsewhere, f"lost, and not at {name}, which was killed: {elsewhere}")
            in_work = {f.request_id for f in mine} | {
                request_id
                for request_id, request in logged.items()
                if (request.server == name or request.redispatched)
                and request.began <= dead
                and request.ended >= killed
            }
            print(f"  {name}: {len(in_work):3} in work when killed, {len(mine):3} of them lost", flush=True)
        self.require(not left, f"lost without having been in work at a killed replica: {left}")
        if retry != "nothing":
            self.require(not refused, f"{len(refused)} requests refused")
        if "empty-response" in (RETRIES[retry] or ""):
            self.require(lost == 0, f"{lost} requests lost in spite of the retry")
        other = set(load.outcomes) & {"wrong answer", "another's answer"}
        self.require(not other, f"{sorted(other)}: {load.outcomes}")
        print(f"  outcomes {dict(load.outcomes)}", flush=True)
        return f"{retry:32}{kills:6}{load.total():10}{lost:19}{len(refused):23}"


def main() -> int:
    binary = Path(sys.argv[1]).resolve()
    restarts, kills = (*map(int, sys.argv[2:4]), *(20, 10)[len(sys.argv) - 2 :])
    # As Compose would: SIGTERM ends the check in good order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="onnxd-") as folder:
        check = Check(binary, Path(folder))
        try:
            port = check.replicas[0].data
            known = questions(port, ["jpeg-224x224.jpg", "jpeg-coffee.jpg"])
            check.rolling_restarts(AS_COMPOSE, restarts, *known)
            # The drain alone is enough: without it, these would be refused.
            check.rolling_restarts("nothing", max(restarts // 5, 1), *known)
            # A retry needs the whole request in HAProxy's buffer (16 kB); the small photo fits.
            known = questions(port, ["jpeg-224x224.jpg"])
            rows = [check.kills(retry, kills, *known) for retry in RETRIES]
        finally:
            check.end()
    print(f"{'HAProxy repeats':32} kills  requests  lost at a replica  refused, none was there")
    print("\n".join(rows))
    print("FAILED" if check.violations else "passed")
    return 1 if check.violations else 0


if __name__ == "__main__":
    sys.exit(main())
