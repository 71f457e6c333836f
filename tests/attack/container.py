"""The server in a container of 2 GB, with the binary that is tried and this machine's libraries; no image is pulled."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from attack import ROOT, Own
from server import Server

IMAGE = "onnxd-test/attack"
MEMORY = "2g"
LIBRARY = ROOT / ".onnxruntime/libonnxruntime.so"


def engine() -> bool:
    """Whether there is one that this user may use."""
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


def docker(*arguments: str, **options: object) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, **options).stdout.decode().strip()


def libraries(*files: Path) -> set[str]:
    found = set()
    for file in files:
        for line in subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout.splitlines():
            paths = [word for word in line.split() if word.startswith("/")]
            found.update(paths[:1])
    return found


def make_image(binary: Path) -> None:
    """The files that the server needs, and nothing else."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for path in sorted(libraries(binary, LIBRARY)):
            tar.add(path, path.lstrip("/"))
        tar.add(binary, "opt/onnxd/onnxd")
        tar.add(LIBRARY, "opt/onnxd/libonnxruntime.so")
    docker("import", "-", IMAGE, input=packed.getvalue())


class Container(Server):
    """On this machine's own network, so that the attackers' addresses differ as they do without it."""

    def __init__(self, binary: Path, folder: Path, own: Own | None = None):
        make_image(binary)
        super().__init__(binary, folder, own)

    def start(self) -> None:
        settings = self.settings | {
            "ONNXD_SERVER__LISTEN": "{}:{}".format(*self.address),
            "ONNXD_ADMIN__LISTEN": "{}:{}".format(*self.admin),
            "ONNXD_MODELS__PATH": "/models",
        }
        environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        # As this user, who may then see what it holds.
        user = f"{os.getuid()}:{os.getgid()}"
        self.id = docker(
            "run",
            "--detach",
            "--network",
            "host",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--user",
            user,
            "--security-opt",
            "no-new-privileges",
            "--memory",
            MEMORY,
            "--memory-swap",
            MEMORY,
            "--cpus",
            "2",
            "--ulimit",
            "nofile=20000:20000",
            "--volume",
            f"{ROOT / 'models'}:/models:ro",
            *environment,
            "--entrypoint",
            "/opt/onnxd/onnxd",
            IMAGE,
            "serve",
        )
        self.pid = self.inspect()["Pid"]
        self.log.touch()
        self.wait_ready()

    def inspect(self) -> dict:
        return json.loads(docker("inspect", "--format", "{{json .State}}", self.id))

    def alive(self) -> bool:
        return self.pid > 0 and os.path.exists(f"/proc/{self.pid}") and self.inspect()["Running"]

    def why_ended(self) -> str:
        state = self.inspect()
        return "killed for its memory" if state["OOMKilled"] else f"exit status {state['ExitCode']}"

    def stop(self) -> None:
        # One that has ended cannot be stopped.
        subprocess.run(["docker", "stop", "--time", "40", self.id], capture_output=True, check=False)
        self.kill()

    def kill(self) -> None:
        with self.log.open("ab") as log:
            subprocess.run(["docker", "logs", self.id], stdout=log, stderr=subprocess.STDOUT, check=False)
        subprocess.run(["docker", "rm", "--force", "--volumes", self.id], capture_output=True, check=False)
        # The kernel may need a moment.
        time.sleep(0.2)
