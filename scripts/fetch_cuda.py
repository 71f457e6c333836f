"""Fetches ONNX Runtime for NVIDIA GPUs, and what it needs of CUDA and cuDNN, into one folder.

pip downloads the official wheels (1.2 GB, pinned, checked by SHA-256); the libraries are taken out,
each is checked by its own SHA-256, and the finished folder is renamed into place, so that an
interrupted run leaves nothing half. onnxd loads the libraries of CUDA from beside ONNX Runtime's, so
nothing has to be installed besides the driver.
Usage: fetch_cuda.py FOLDER
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.31.1"
# Wheel: (SHA-256 of the wheel, {name of a library: SHA-256 of the library}). The libraries of CUDA
# are those of 13.0, which every driver from 580 on runs. The provider is linked against cudart,
# cublas, cublasLt and curand; it opens cuDNN and NVRTC itself (convolutions, attention).
WHEELS = {
    "onnxruntime-gpu==1.31.1": (
        "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        {
            "libonnxruntime.so": "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303",
            "libonnxruntime_providers_shared.so": "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
            "libonnxruntime_providers_cuda.so": "8387867e857499e045caff5d13ac6a5de29571c801562fa2dde0e45f1f31de52",
            "libonnxruntime_providers_tensorrt.so": "1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e",
        },
    ),
    "nvidia-cuda-runtime==13.0.96": (
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        {
            "libcudart.so.13": "96c42e418cec19054186b9429c321603cc190bf26a18104e19408117a2a817b0",
        },
    ),
    "nvidia-cublas==13.1.0.3": (
        "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        {
            "libcublas.so.13": "e70f38efabe986acd5eb683497c62f0f1730a6176ee291d9d24c6e339d1fbf86",
            "libcublasLt.so.13": "656298c804f5adbb0df930545c17911b9584ab4e5101c0eeb65d1fe881d880f8",
        },
    ),
    "nvidia-curand==10.4.0.35": (
        "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        {
            "libcurand.so.10": "b53732a66b302b11926e00f762e2c2ba67058347ff93cf4ae709de45e93e06da",
        },
    ),
    "nvidia-cuda-nvrtc==13.0.88": (
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        {
            "libnvrtc.so.13": "a49e67e8e74590f1e98de55c39c6287efd3f59e3c3797464d7bbe0fe01349b11",
            "libnvrtc-builtins.so.13.0": "91dcd944d01da9c0f08fff5d779db136a47f6d62bdb63bae900d2f481e92c3a2",
        },
    ),
    "nvidia-cudnn-cu13==9.19.0.56": (
        "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
        {
            "libcudnn.so.9": "94f44e2e8fb2d4bca8c534b14f03ef84e095376dad72a257fd854377ef0b3427",
            "libcudnn_adv.so.9": "87e2199f5bca489a1ed863afbb0b421c822fe0081a956d8c69216b3ae37c135f",
            "libcudnn_cnn.so.9": "36480b885ab03685d9b07c9fca4bbaeb3e7c3c7c4d81297cf8195b72cd3d8f20",
            "libcudnn_engines_precompiled.so.9": "7f8ce268b43c0fab298cc43854a006195bc16c0ed43bedf63b11f3699e92c6ae",
            "libcudnn_engines_runtime_compiled.so.9": "1b0025cfeab270688d4563e287a5009389464ff140d0ebcf708314223523b99b",
            "libcudnn_graph.so.9": "e292c689093f22325bffb7f84e68c58067c062a5cdd5534914ac1449f0a4e23f",
            "libcudnn_heuristic.so.9": "9e0202a6bcc055fc921972f335be9eeec95e469582e0f603f6548df5209ab7dc",
            "libcudnn_ops.so.9": "3e9182b90e8ba33027c1dcf42741ba2a8799eef3e8047cf341e00a6091ddec97",
        },
    ),
}
PIP_PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux_2_12_x86_64"]


def download(requirement: str, wheel_sha256: str, folder: Path) -> Path:
    """The wheel, through pip's own client and with pip's own check of the hash."""
    folder.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--require-hashes"]
    for name in PIP_PLATFORMS:
        command += ["--platform", name]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def extract(archive: zipfile.ZipFile, name: str, sha256: str, folder: Path) -> None:
    """Writes one library into the folder, without its version where ONNX Runtime's own has one."""
    in_wheel = name if name != "libonnxruntime.so" else f"{name}.{VERSION}"
    paths = [path for path in archive.namelist() if path.rsplit("/", 1)[-1] == in_wheel]
    if len(paths) != 1:
        sys.exit(f"the wheel {archive.filename} has no {in_wheel}")
    with archive.open(paths[0]) as source, open(folder / name, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with open(folder / name, "rb") as written:
        got = hashlib.file_digest(written, "sha256").hexdigest()
    if got != sha256:
        sys.exit(f"{name} in the wheel has the SHA-256 {got}, expected {sha256}")


def main() -> None:
    target = Path(sys.argv[1])
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if sys.platform != "linux" or machine != "x86_64":
        sys.exit(
            f"no ONNX Runtime for GPUs is pinned for {sys.platform} on {machine}; install version 1.24 "
            "or newer and what it needs by hand and name its library with --onnxruntime FILE"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        finished = Path(temporary) / "finished"
        finished.mkdir()
        for requirement, (wheel_sha256, libraries) in WHEELS.items():
            print(f"fetching {requirement}", file=sys.stderr)
            folder = Path(temporary) / "wheel"
            try:
                wheel = download(requirement, wheel_sha256, folder)
            except subprocess.CalledProcessError:
                sys.exit(f"pip could not fetch {requirement}; its own message stands above")
            with zipfile.ZipFile(wheel) as archive:
                for name, sha256 in libraries.items():
                    extract(archive, name, sha256, finished)
            shutil.rmtree(folder)
        if target.exists():
            os.replace(target, Path(temporary) / "old")
        os.replace(finished, target)
    print(f"ONNX Runtime {VERSION} for CUDA 13 is in {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
