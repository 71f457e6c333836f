"""Commands of a page of documentation, and the outputs that it shows for them.

A comment in the line before a command says how it is run where it is not run as it stands:

    <!-- not run: REASON -->
    <!-- run with: TEXT => OTHER -->        OTHER stands for TEXT, for example a shorter time

before an output, that it is not compared:

    <!-- not compared: REASON -->

and anywhere before the page's first command, what its server is started with:

    <!-- server: KEY=VALUE ... -->          variables of the environment
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\s*$")
COMMENT = re.compile(r"^<!-- (not run|run with|not compared|server): (.*) -->$")
OUTPUTS = ("text", "json")


@dataclass
class Command:
    line: int
    text: str
    not_run: str | None = None
    # Of the block that follows it, if one does.
    output: str | None = None
    kind: str = ""
    not_compared: str | None = None


@dataclass
class Page:
    path: Path
    commands: list[Command] = field(default_factory=list)
    server: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> Page:
    """Raises ValueError where a comment stands before nothing that it could be about."""
    page, said, after = Page(path), {}, None
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        if comment := COMMENT.match(line):
            said[comment[1]] = (number, comment[2])
            continue
        if not line.strip():
            continue
        fence = FENCE.match(line)
        if not fence:
            # Only what follows a command at once is its output.
            after = None
            leave(path, said)
            continue
        body = []
        for _, inner in lines:
            if inner.startswith("```"):
                break
            body.append(inner)
        text = "\n".join(body)
        if fence[1] == "sh":
            if "server" in said:
                page.server = dict(pair.split("=", 1) for pair in said.pop("server")[1].split())
            if "run with" in said:
                text = replaced(path, said.pop("run with"), text)
            not_run = said.pop("not run", (0, None))[1]
            after = Command(number, text, not_run)
            page.commands.append(after)
        elif fence[1] in OUTPUTS and after:
            after.output, after.kind = text, fence[1]
            after.not_compared = said.pop("not compared", (0, None))[1]
            after = None
        leave(path, said)
    leave(path, said)
    return page


def replaced(path: Path, comment: tuple[int, str], text: str) -> str:
    number, pairs = comment
    for pair in pairs.split("; "):
        old, arrow, new = pair.partition(" => ")
        if not arrow or old not in text:
            raise ValueError(f"{path}:{number}: the command has no `{old}`")
        text = text.replace(old, new)
    return text


def leave(path: Path, said: dict) -> None:
    """The server's comment may stand before text; the others belong to what comes next."""
    for kind, (number, _) in said.items():
        if kind != "server":
            raise ValueError(f"{path}:{number}: `{kind}` stands before no such block")
