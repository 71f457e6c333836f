"""Plants a defect into a copy of the server, and wants the attack to find it that is meant for it.

Usage: self_test.py [--base ONNXD] [NAME…]    the patches in planted/; all of them by default

Each patch is applied to a copy of the tree and built, which takes minutes; what is built lies in
target/attack/planted/ and is used again. Exits 1 if a defect is not found. --base: also wants the same attacks
to hold without a defect, by this binary.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from attack import ROOT

PLANTED = Path(__file__).parent / "planted"
# The attack that must find it.
FOUND_BY = {
    "unbounded-list": "tiny_things",
    "quadratic-loop": "many_names",
    "lost-permit": "leavers",
    "leak": "soak",
    "ignored-disconnect": "late_work",
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


def holds(binary: Path, attack: str) -> bool:
    run = [sys.executable, str(Path(__file__).with_name("run.py")), "--binary", str(binary), attack]
    return subprocess.run(run).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--base", type=Path)
    options = parser.parse_args()
    patches = sorted(PLANTED.glob("*.patch"))
    chosen = [patch for patch in patches if not options.names or patch.stem in options.names]
    work = ROOT / "target/attack/planted"
    work.mkdir(parents=True, exist_ok=True)
    missed = []
    for patch in chosen:
        attack = FOUND_BY[patch.stem]
        print(f"== {patch.stem}: {attack} must find it", flush=True)
        if holds(build(patch, work / "tree"), attack):
            missed.append(patch.stem)
    if options.base:
        for attack in sorted({FOUND_BY[patch.stem] for patch in chosen}):
            print(f"== without a defect: {attack}", flush=True)
            if not holds(options.base, attack):
                missed.append(f"{attack} without a defect")
    print(f"{len(chosen)} defects planted; missed: {', '.join(missed) or 'none'}")
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
