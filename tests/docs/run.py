"""Runs every command of the documentation, in order, against a real server.

Usage: run.py BINARY [PAGE ...]    README.md, docs/*.md and examples/*.md by default

Each page has a copy of the repository of its own, in which target/release/onnxd is BINARY, and a server
on free ports, which stand in for 8080 and 9090. A command must exit with status 0, its output must have the
shape of the one that the page shows after it, and where none is shown it must be no refusal. page.py says
how a page says otherwise.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import compare
import page as pages

ROOT = Path(__file__).resolve().parents[2]
# Pages of measurements, whose commands build the benchmarks and run for minutes.
NOT_RUN = {"docs/performance.md": "builds the benchmarks and measures for minutes"}
LIMIT_S = 120
REFUSAL = re.compile(r'urn:onnxd:error|^\{"error":', re.MULTILINE)


class Place:
    """A copy of the repository and a server in it."""

    def __init__(self, binary: Path, page: pages.Page, folder: Path):
        self.folder = folder
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        )
        for name in filter(None, files.stdout.split("\0")):
            # Gone from the working tree, or a link to outside.
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / "target/release").mkdir(parents=True)
        (folder / "target/release/onnxd").symlink_to(binary)
        (folder / ".onnxruntime").symlink_to(ROOT / ".onnxruntime")
        self.data, self.admin = free_ports()
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("ONNXD_")
        } | {
            "ORT_DYLIB_PATH": str(ROOT / ".onnxruntime/libonnxruntime.so"),
            "HOME": str(folder / "target"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.process = self.start(binary, page.server)

    def start(self, binary: Path, keys: dict[str, str]) -> subprocess.Popen:
        keys = keys | {
            "ONNXD_SERVER__LISTEN": f"127.0.0.1:{self.data}",
            "ONNXD_ADMIN__LISTEN": f"127.0.0.1:{self.admin}",
            "ONNXD_RUNTIME__DEVICE": "cpu",
        }
        with (self.folder / "target/onnxd.log").open("w") as log:
            process = subprocess.Popen(
                [binary, "serve"], cwd=self.folder, env=self.environment | keys,
                stdout=log, stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/health/ready", timeout=5):
                    return process
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    sys.exit(f"onnxd does not get ready:\n{(self.folder / 'target/onnxd.log').read_text()}")
                time.sleep(0.05)

    def run(self, text: str) -> tuple[int, str, str]:
        """Status, standard output, standard error."""
        text = re.sub(r"\b(127\.0\.0\.1|localhost):8080\b", rf"\1:{self.data}", text)
        text = re.sub(r"\b(127\.0\.0\.1|localhost):9090\b", rf"\1:{self.admin}", text)
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        try:
            out, err = shell.communicate(timeout=LIMIT_S)
            return shell.returncode, out, err
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            return 124, *shell.communicate()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def failure(place: Place, command: pages.Command) -> str | None:
    status, out, err = place.run(command.text)
    if status:
        return f"status {status}\n{out[-1500:]}{err[-1500:]}"
    if command.output is None:
        return f"a refusal\n{out[-1500:]}" if REFUSAL.search(out) else None
    if command.not_compared or not compare.differs(command.kind, command.output, out):
        return None
    return f"the page shows\n{command.output}\nand it is\n{out[-3000:]}"


def check(binary: Path, path: Path) -> tuple[int, int, int]:
    """How many commands ran, were not to be run, and failed."""
    name = path.relative_to(ROOT)
    page = pages.read(path)
    ran = left = failed = 0
    place = None
    with tempfile.TemporaryDirectory(prefix="onnxd-docs-") as folder:
        try:
            for command in page.commands:
                where, first = f"{name}:{command.line}", command.text.strip().splitlines()[0][:90]
                reason = NOT_RUN.get(str(name)) or command.not_run
                if reason:
                    left += 1
                    print(f"  not run  {where}  {first}\n           {reason}")
                    continue
                place = place or Place(binary, page, Path(folder))
                began = time.monotonic()
                problem = failure(place, command)
                ran += 1
                failed += problem is not None
                took = time.monotonic() - began
                print(f"{'FAILED' if problem else 'ok':>9}  {where}  {first}  ({took:.1f} s)")
                if problem:
                    print("\n".join(f"           {line}" for line in problem.splitlines()))
                elif command.not_compared:
                    print(f"           output not compared: {command.not_compared}")
        finally:
            status = place.stop() if place else 0
        if status:
            failed += 1
            print(f"   FAILED  {name}: the server ended with status {status}")
    return ran, left, failed


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    binary = Path(sys.argv[1]).resolve()
    default = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*.md"))]
    began = time.monotonic()
    totals = [check(binary, path) for path in [Path(name).resolve() for name in sys.argv[2:]] or default]
    ran, left, failed = map(sum, zip(*totals))
    print(f"\n{left} commands were not run, in {time.monotonic() - began:.0f} s")
    print(f"{ran - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
