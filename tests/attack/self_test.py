"""Plants a defect into a copy of the server, and wants the attack to find it that is meant for it.

Usage: self_test.py [--base ONNXD] [NAME…]    the patches in planted/; all of them by default

Each patch is applied to a copy of the tree and built, which takes minutes; what is built lies in
target/attack/planted/ and is used again. The figure that is meant for it must be over its bound, and within it for
the server without a defect (--base, target/release/onnxd by default). Exits 1 if not.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from attack import ROOT

PLANTED = Path(__file__).parent / "planted"
# The attack that must find it, and the figure that tells.
FOUND_BY = {
    "unbounded-list": ("tiny_things", "one body of 33 MB takes"),
    "quadratic-loop": ("many_names", "slowest answer"),
    "lost-permit": ("leavers", "held by nobody"),
    "leak": ("soak", "stays of a request"),
    "ignored-disconnect": ("late_work", "processor after they left"),
}


def copy_tree(to: Path) -> None:
    """What is tracked or new, with times of its own, so that nothing is built twice."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wanted = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        target, content = to / name, (ROOT / name).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    link = to / ".onnxruntime"
    if not link.exists():
        link.symlink_to(ROOT / ".onnxruntime")


def build(patch: Path, tree: Path) -> Path:
    copy_tree(tree)
    # `patch` goes by the lines around, so that a tree that went on is patched as well.
    subprocess.run(["patch", "--strip=1", "--forward", "--input", patch], cwd=tree, check=True)
    environment = os.environ | {"CARGO_TARGET_DIR": str(tree.parent / "build"), "CARGO_INCREMENTAL": "1"}
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=tree, env=environment, check=True)
    binary = tree.parent / patch.stem
    shutil.copy(tree.parent / "build/release/onnxd", binary)
    subprocess.run(["patch", "--strip=1", "--reverse", "--input", patch], cwd=tree, check=True)
    return binary


def is_kept(binary: Path, attack: str, what: str, work: Path) -> bool:
    """Whether the server keeps the bound on this figure; that it was measured at all is wanted first."""
    figures = work / "figures.json"
    figures.unlink(missing_ok=True)
    run = [sys.executable, str(Path(__file__).with_name("run.py")), "--binary", str(binary), "--json", str(figures)]
    subprocess.run([*run, attack])
    [told] = json.loads(figures.read_text())["attacks"]
    [figure] = [figure for figure in told["own"] + told["common"] if figure["what"] == what]
    return figure["value"] <= figure["bound"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--base", type=Path, default=ROOT / "target/release/onnxd")
    options = parser.parse_args()
    patches = sorted(PLANTED.glob("*.patch"))
    chosen = [patch for patch in patches if not options.names or patch.stem in options.names]
    work = ROOT / "target/attack/planted"
    work.mkdir(parents=True, exist_ok=True)
    missed = []
    for patch in chosen:
        attack, what = FOUND_BY[patch.stem]
        print(f"== {patch.stem}: {attack} must find it by `{what}`", flush=True)
        if is_kept(build(patch, work / "tree"), attack, what, work):
            missed.append(patch.stem)
        print(f"== without it: {attack} must hold", flush=True)
        if not is_kept(options.base, attack, what, work):
            missed.append(f"{attack} without a defect")
    print(f"{len(chosen)} defects planted; missed: {', '.join(missed) or 'none'}")
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
