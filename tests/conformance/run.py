"""Serves folders that exporters wrote with onnxd, and compares its answers with those in their case.json.

Usage: tests/conformance/run.py [ROOT] [--binary ONNXD] [--only PATTERN] [--jobs N] [--table FILE]

ROOT (tests/conformance/fixtures by default) holds EXPORTER/CASE/ with a model's files and a case.json each.
One `onnxd serve` runs for each EXPORTER, over those of its folders that `onnxd serve --check` takes. Fails where
an answer is wrong, or a folder or request is refused that should not be, or in other words.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import fnmatch
import json
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import compare
import server
import table

HERE = Path(__file__).resolve().parent
PRINTING = threading.Lock()


@dataclasses.dataclass
class Outcome:
    exporter: str
    name: str
    case: dict
    kind: str
    why: str | None

    @property
    def family(self) -> str:
        return self.case.get("family", "?")


def say(*words: object) -> None:
    with PRINTING:
        print(*words, flush=True)


def links(folder: Path, cases: dict[str, Path]) -> Path:
    folder.mkdir(parents=True)
    for name, path in cases.items():
        (folder / name).symlink_to(path, target_is_directory=True)
    return folder


class Exporter:
    """The cases of one folder, and how they come out."""

    def __init__(self, name: str, folders: dict[str, Path], binary: str, scratch: Path, all_requests: bool) -> None:
        self.all_requests = all_requests
        self.name, self.binary, self.scratch = name, binary, scratch
        self.folders = folders
        self.cases = {case: json.loads((path / "case.json").read_text()) for case, path in folders.items()}
        self.refused: dict[str, str] = {}
        self.tasks: dict[str, str] = {}
        self.outcomes: list[Outcome] = []
        self.checks = 0

    def done(self, case: str, kind: str, why: str | None) -> None:
        self.outcomes.append(Outcome(self.name, case, self.cases[case], kind, why))
        if why:
            say(f"{kind}: {self.name}/{case}: {' '.join(why.split())}")
        if len(self.outcomes) % 50 == 0:
            say(f"-- {self.name}: {len(self.outcomes)} of {len(self.cases)}")

    def check(self, cases: dict[str, Path]) -> tuple[int, str]:
        self.checks += 1
        return server.check(self.binary, links(self.scratch / f"check-{self.checks}", cases))

    def sort_out(self, cases: dict[str, Path]) -> dict[str, Path]:
        """Those of `cases` that can be served; `self.refused` has the sentences of the others."""
        if not cases:
            return {}
        status, said = self.check(cases)
        found = server.refusals(said, list(cases)) if status in (0, server.REFUSED) else {}
        if status == 0 and not found:
            self.tasks |= server.tasks(said)
            return cases
        if found:
            self.refused |= found
            return self.sort_out({name: path for name, path in cases.items() if name not in found})
        if len(cases) == 1:
            self.refused[next(iter(cases))] = f"(exit {status}) {said}"
            return {}
        # It named none, or was killed: halves, until the one is found.
        names = list(cases)
        half = len(names) // 2
        served = {}
        for part in (names[:half], names[half:]):
            served |= self.sort_out({name: cases[name] for name in part})
        return served

    def run(self) -> list[Outcome]:
        served = self.sort_out(self.folders)
        say(f"-- {self.name}: {len(served)} of {len(self.folders)} folders can be served")
        for case in self.folders:
            if case in self.refused:
                self.judge_refused(case, self.refused[case])
        todo = [case for case in self.folders if case in served]
        starts = 0
        while todo:
            starts += 1
            onnxd = server.Server(
                self.binary, links(self.scratch / f"served-{starts}", {case: self.folders[case] for case in todo})
            )
            try:
                todo = self.ask_all(onnxd, todo)
            finally:
                onnxd.stop()
        return self.outcomes

    def judge_refused(self, case: str, sentence: str) -> None:
        words = self.cases[case].get("refused")
        if words is None:
            self.done(case, "refused badly", f"not served: {sentence}")
            return
        kind, why = compare.words(sentence, words, "refused well")
        self.done(case, "refused badly" if kind == "badly" else kind, why)

    def ask_all(self, onnxd: server.Server, cases: list[str]) -> list[str]:
        """The cases that are left where the server ended on the way."""
        known = onnxd.models()
        for number, case in enumerate(cases):
            if case not in known:
                self.passed_over(case)
                continue
            try:
                self.done(case, *self.judge(onnxd, case))
            except (OSError, server.http.client.HTTPException) as error:
                self.done(case, "wrong", f"no answer: {error!r}; {''.join(onnxd.log[-3:])}")
                if not onnxd.alive():
                    return cases[number + 1 :]
        return []

    def passed_over(self, case: str) -> None:
        said = self.check({case: self.folders[case]})[1]
        if self.cases[case].get("refused"):
            self.judge_refused(case, said)
        else:
            self.done(case, "refused badly", f"passed over: {said}")

    def judge(self, onnxd: server.Server, case: str) -> tuple[str, str | None]:
        said = self.cases[case]
        if "refused" in said:
            return "wrong", f"served ({self.tasks.get(case)}), where it should be refused"
        kinds, whys = set(), []
        for number, request in enumerate(said["requests"]):
            kind, why = self.ask(onnxd, case, request, said.get("tolerance", 1e-4))
            kinds.add(kind)
            if why:
                whys.append(f"request {number}: {why}")
        if whys:
            more = f" (and {len(whys) - 1} requests more)" if len(whys) > 1 else ""
            kind = "wrong" if "wrong" in kinds else "refused badly"
            return kind, "; ".join(whys) if self.all_requests else whys[0] + more
        wanted, task = said.get("task"), self.tasks.get(case)
        if wanted and task and task not in ([wanted] if isinstance(wanted, str) else wanted):
            return "wrong", f"served as {task}, expected {wanted}"
        if words := said.get("says"):
            # Of this model alone, so that the words are not another's.
            kind, why = compare.words(self.check({case: self.folders[case]})[1], words, "right")
            if why:
                return "refused badly", f"the start: {why}"
        return "refused well" if kinds == {"refused"} else "right", None

    def ask(self, onnxd: server.Server, case: str, request: dict, tolerance: float) -> tuple[str, str | None]:
        name = urllib.parse.quote(case)
        if "v2" in request:
            path, body, kind = f"/v2/models/{name}/infer", json.dumps(request["v2"]).encode(), "application/json"
        else:
            path = f"/predict/{name}?top_k=1000" + (f"&{request['query']}" if request.get("query") else "")
            if "file" in request:
                body, kind = (self.folders[case] / request["file"]).read_bytes(), "application/octet-stream"
            else:
                body, kind = json.dumps(request["json"]).encode(), "application/json"
        return compare.answer(*onnxd.ask("POST", path, body, kind), request, tolerance)


def collect(root: Path, pattern: str) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(root.glob("[!.]*/[!.]*/case.json")):
        path = file.parent.resolve()
        if fnmatch.fnmatch(f"{path.parent.name}/{path.name}", pattern):
            found.setdefault(path.parent.name, {})[path.name] = path
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("root", nargs="?", type=Path, default=HERE / "fixtures")
    arguments.add_argument("--binary", default="target/release/onnxd")
    arguments.add_argument("--only", default="*", help="such as skl2onnx/svc-*")
    arguments.add_argument("--jobs", type=int, default=1, help="exporters at once")
    arguments.add_argument(
        "--all", action="store_true", help="print every request that is not right, not the first alone"
    )
    arguments.add_argument("--table", type=Path, help="where to write the table")
    options = arguments.parse_args()
    binary = str(Path(options.binary).absolute())
    if not Path(binary).is_file():
        sys.exit(f"no binary {options.binary}; build it first")
    exporters = collect(options.root, options.only)
    if not exporters:
        sys.exit(f"no EXPORTER/CASE/case.json under {options.root} that is {options.only}")

    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = [
            pool.submit(Exporter(exporter, folders, binary, Path(name) / exporter, options.all).run)
            for exporter, folders in exporters.items()
        ]
        for one in running:
            outcomes += one.result()
    outcomes.sort(key=lambda one: (one.exporter, one.name))

    counted = collections.Counter(one.kind for one in outcomes)
    if options.table:
        table.write(options.table, outcomes)
    bad = counted["wrong"] + counted["refused badly"]
    print(", ".join(f"{counted[kind]} {kind}" for kind in table.KINDS))
    print(f"{len(outcomes) - bad} passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
