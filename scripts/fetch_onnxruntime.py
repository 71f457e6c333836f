"""Fetches ONNX Runtime's shared library into .onnxruntime/ of the checkout.

pip downloads the official wheel (pinned, checked by SHA-256), the library is taken out of it,
checked by its own SHA-256 and renamed into place, so that an interrupted run leaves nothing half.
Usage: fetch_onnxruntime.py TARGET
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.31.1"
# machine: (pip's platform, SHA-256 of the wheel, SHA-256 of the library in it)
WHEELS = {
    "x86_64": (
        "manylinux_2_28_x86_64",
        "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ),
    "aarch64": (
        "manylinux_2_28_aarch64",
        "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ),
}


def download(folder: Path, pip_platform: str, wheel_sha256: str) -> Path:
    """The wheel, through pip's own client and with pip's own check of the hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"onnxruntime=={VERSION} --hash=sha256:{wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    command += ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--platform", pip_platform]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def main() -> None:
    target = Path(sys.argv[1])
    machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
    if sys.platform != "linux" or machine not in WHEELS:
        sys.exit(
            f"no ONNX Runtime is pinned for {sys.platform} on {machine}; install version 1.24 or "
            "newer by hand and name its library with --onnxruntime FILE"
        )
    pip_platform, wheel_sha256, library_sha256 = WHEELS[machine]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        print(f"fetching ONNX Runtime {VERSION} for {machine}", file=sys.stderr)
        try:
            wheel = download(Path(folder), pip_platform, wheel_sha256)
        except subprocess.CalledProcessError:
            sys.exit("pip could not fetch ONNX Runtime; its own message stands above")
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.startswith("onnxruntime/capi/libonnxruntime.so")]
            library = archive.read(names[0])
        got = hashlib.sha256(library).hexdigest()
        if got != library_sha256:
            sys.exit(f"the library in the wheel has the SHA-256 {got}, expected {library_sha256}")
        finished = Path(folder) / "library"
        finished.write_bytes(library)
        os.replace(finished, target)
    print(f"ONNX Runtime {VERSION} is in {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
