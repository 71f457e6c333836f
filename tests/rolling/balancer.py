"""HAProxy with the configuration of Compose, on loopback."""

import re
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parents[2] / "k8s/compose/haproxy.cfg"

AS_COMPOSE = "where no connection came about"
# What HAProxy repeats. Predictions are idempotent: asking another replica once more what a dead one
# had in work is safe, and costs a second run at most.
RETRIES = {
    "nothing": "retries 0",
    AS_COMPOSE: None,
    # A request is repeated only if HAProxy had all of it when it sent it first; many clients send head
    # and body apart, so it has to wait for the body.
    "also where the replica died": (
        "option http-buffer-request\n    retries 1\n    option redispatch 1\n"
        "    retry-on conn-failure empty-response"
    ),
}


def configuration(port: int, replicas: dict[str, tuple[int, int]], stats: Path, retry: str) -> str:
    """Compose's own with other addresses: its names and ports become loopback's.

    `replicas` gives the data and the admin port of each. Besides, HAProxy gets a socket to be asked
    for the replicas' state, and writes each request's id to its log. Only `retry` may change more.
    """
    text = CONFIGURATION.read_text()

    def replace(pattern: str, by: str) -> None:
        nonlocal text
        text, times = re.subn(pattern, lambda _: by, text, flags=re.MULTILINE)
        if times != 1:
            raise SystemExit(f"{CONFIGURATION.name} has {times} matches of {pattern!r}, not one")

    replace(r"^global$", f"global\n    stats socket {stats}")
    replace(r"^resolvers .*\n(?:    .*\n)+", "")
    replace(r"^    bind .*$", f"    bind 127.0.0.1:{port}\n    capture request header x-request-id len 64")
    replace(r" port 9090\b", "")
    replace(r" resolvers compose init-addr none$", "")
    servers = [f"    server {name} 127.0.0.1:{data} port {admin}" for name, (data, admin) in replicas.items()]
    replace(r"^    server-template .*$", "\n".join(servers))
    if settings := RETRIES[retry]:
        replace(r"^    retries .*\n    option redispatch .*\n    retry-on .*$", f"    {settings}")
    return text


@dataclass
class Logged:
    """A request as HAProxy saw it; times are seconds of time.time(), to the millisecond."""

    server: str
    began: float
    ended: float
    # Sent first to another replica than `server`.
    redispatched: bool


LINE = re.compile(
    r"\[(?P<began>[^]]+)\] \S+ \w+/(?P<server>\S+) -?\d+/-?\d+/-?\d+/-?\d+/\+?(?P<active>\d+) -?\d+ \d+ - - "
    r".... [\d/]+/(?P<retries>\+?\d+) \S+ \{(?P<id>[^}]*)\}"
)


class Balancer:
    """A running HAProxy, from `with` to its end."""

    def __init__(self, folder: Path, port: int, replicas: dict[str, tuple[int, int]], retry: str):
        self.stats, self.log = folder / "haproxy.sock", folder / "haproxy.log"
        file = folder / "haproxy.cfg"
        file.write_text(configuration(port, replicas, self.stats, retry))
        with self.log.open("wb") as log:
            command = ["haproxy", "-db", "-f", file]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, command: str) -> str:
        """What the stats socket answers. Raises OSError while HAProxy does not run."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stats:
            stats.settimeout(5)
            stats.connect(str(self.stats))
            stats.sendall(f"{command}\n".encode())
            with stats.makefile("r") as answer:
                return answer.read()

    def in_rotation(self) -> set[str]:
        """The replicas that get requests."""
        try:
            lines = self.ask("show stat -1 4 -1").removeprefix("# ").splitlines()
        except OSError:
            return set()
        names, *rows = [line.split(",") for line in lines if line]
        name, status = names.index("svname"), names.index("status")
        return {row[name] for row in rows if row[status].startswith("UP")}

    def version(self) -> str:
        return self.ask("show info").splitlines()[1].split()[1]

    def logged(self) -> dict[str, Logged]:
        """The requests logged so far, by their ids.

        Where a replica closes a connection without an answer, HAProxy closes the client's as well, and
        logs nothing unless the request was the connection's first. It also drops lines under load.
        """
        found = {}
        with self.log.open() as log:
            for match in filter(None, map(LINE.search, log)):
                began = datetime.strptime(match["began"], "%d/%b/%Y:%H:%M:%S.%f").timestamp()
                found[match["id"]] = Logged(
                    server=match["server"],
                    began=began,
                    ended=began + int(match["active"]) / 1000,
                    redispatched=match["retries"].startswith("+"),
                )
        return found


def wait_until(what: str, seconds: float, true) -> float:
    """Asks again until it is so; the seconds that took. SystemExit if not within `seconds`."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"FAILED: not within {seconds} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began
