"""The documents name only files, commands, targets and options that exist."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*(ROOT / name for name in ("README.md", "README_CN.md", "CONTRIBUTING.md")), *(ROOT / "docs").glob("*.md")]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"python (?:-m (?P<module>(?:convert|tinydarknet|benchmarks)[\w.]*)|(?P<file>(?:benchmarks|scripts)/\w+\.py))(?P<rest>.*)"
    r"|bash (?P<script>scripts/\w+\.sh)(?P<script_rest>.*)"
    r"|(?<![\w-])make (?P<target>[a-z0-9][a-z0-9-]*)(?P<make_rest>.*)"
)
OPTION = re.compile(r"(?<![\w-])--([A-Za-z][\w.-]*)")
SUBCOMMANDS = {"convert": {"run", "verify", "inspect", "doctor", "sample"}, "scripts/rank_table.py": {"make", "check"}}
BEHIND = {
    "scripts/run_standalone_train.sh": "tinydarknet.train",
    "scripts/run_distribute_train.sh": "tinydarknet.train",
    "scripts/run_eval.sh": "tinydarknet.evaluate",
    "train": "tinydarknet.train",
    "train-8p": "tinydarknet.train",
    "eval": "tinydarknet.evaluate",
    "export": "tinydarknet.export",
}
"""What takes the options that are given to a script, or to a make target in ARGS."""


@dataclass(frozen=True)
class Use:
    """One command as a document writes it."""

    command: str
    """A module, a file or a script, with its sub-command; or "make TARGET"."""
    options: tuple[str, ...]
    variables: tuple[str, ...] = ()


def code_of(text: str) -> list[str]:
    """Every line of code: inline spans, and lines of fenced blocks with continuations joined and comments cut."""
    lines = []
    for block in FENCE.findall(text):
        body = "\n".join(block.splitlines()[1:-1]).replace("\\\n", " ")
        lines += [re.sub(r"(^|\s)#.*", "", line) for line in body.splitlines()]
    # spans do not cross a blank line or a table's bar
    return lines + re.findall(r"`([^`|]+)`", FENCE.sub("", text))


def uses_in(text: str) -> list[Use]:
    found = []
    for line in code_of(text):
        for part in re.split(r"\s*(?:&&|;|\s\|\s)\s*", " ".join(line.split())):
            match = COMMAND.search(part)
            if match is None:
                continue
            if match["target"]:
                found += _make_uses(match)
                continue
            name = match["module"] or match["file"] or match["script"]
            before, _, behind = (match["rest"] or match["script_rest"] or "").partition(" -- ")
            words = before.split()
            if name in SUBCOMMANDS and words and words[0] in SUBCOMMANDS[name]:
                name = f"{name} {words[0]}"
            variables = tuple(re.findall(r"\b([A-Z_]+)=", part[: match.start()])) if match["script"] else ()
            found.append(Use(name, tuple(OPTION.findall(before)), variables))
            if behind:
                program = re.search(r"--program (\w+)", before)
                found.append(Use(f"tinydarknet.{program[1] if program else 'train'}", tuple(OPTION.findall(behind))))
    return found


def _make_uses(match: re.Match[str]) -> list[Use]:
    rest = match["make_rest"]
    targets = [match["target"]]
    for word in rest.split():  # "make train train-8p", until a variable, an option or a comment
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", word):
            break
        targets.append(word)
    variables = tuple(re.findall(r"\b([A-Z_]+)=", rest))
    found = [Use(f"make {target}", (), variables) for target in targets]
    options = tuple(OPTION.findall(rest))
    return [*found, *(Use(BEHIND[target], options) for target in targets if options)]


@lru_cache
def help_of(command: str) -> tuple[int, str]:
    """Exit status and text of `command --help`."""
    name, *words = command.split()
    arguments = [str(ROOT / name)] if "/" in name else ["-m", name]
    result = processes.run([sys.executable, *arguments, *words, "--help"], libraries=processes.LIGHT, COLUMNS="200")
    return result.returncode, result.stdout


def options_of(command: str) -> set[str]:
    return set(OPTION.findall(help_of(command)[1]))


@lru_cache
def all_uses() -> tuple[tuple[str, Use], ...]:
    return tuple(
        (name, use) for name, path in zip(NAMES, DOCUMENTS, strict=True) for use in uses_in(path.read_text("utf-8"))
    )


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    path = ROOT / name
    text = FENCE.sub("", path.read_text("utf-8"))
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if link.partition("#")[0] and not (path.parent / link.partition("#")[0]).exists()]
    assert missing == []


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.*)", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_anchors_lead_to_headings(name):
    path = ROOT / name
    links = re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", FENCE.sub("", path.read_text("utf-8")))
    wrong = [(file, anchor) for file, anchor in links if anchor not in anchors_of(path.parent / file if file else path)]
    assert wrong == []


def test_commands_answer_help():
    wrong = []
    for name, use in all_uses():
        if use.command.startswith("make "):
            continue
        if use.command.endswith(".sh"):
            if not (ROOT / use.command).is_file():
                wrong.append((name, use.command))
        elif help_of(use.command)[0] != 0:
            wrong.append((name, use.command))
    assert wrong == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    wrong = [
        (name, use.command)
        for name, use in all_uses()
        if use.command.startswith("make ") and use.command[5:] not in targets
    ]
    assert wrong == []


def test_options_are_known_to_their_commands():
    wrong = []
    for name, use in all_uses():
        command = BEHIND.get(use.command, use.command)
        if use.options:
            wrong += [(name, command, option) for option in use.options if option not in options_of(command)]
    assert wrong == []


def test_variables_are_read_by_what_they_are_set_for():
    """Variables on make's command line also reach the script that a target calls."""
    scripts = "".join(path.read_text() for path in (ROOT / "scripts").glob("*.sh"))
    for name, use in all_uses():
        text = (
            (ROOT / use.command).read_text()
            if use.command.endswith(".sh")
            else (ROOT / "Makefile").read_text() + scripts
        )
        assert [variable for variable in use.variables if not re.search(rf"\b{variable}\b", text)] == [], (name, use)


def test_options_named_alone_are_known_to_some_command():
    commands = {use.command for _, use in all_uses() if not use.command.startswith("make ")}
    known = {option for command in commands if not command.endswith(".sh") for option in options_of(command)}
    wrong = []
    for name, path in zip(NAMES, DOCUMENTS, strict=True):
        for span in code_of(path.read_text("utf-8")):
            if span.lstrip().startswith("--"):
                wrong += [(name, option) for option in OPTION.findall(span) if option not in known]
    assert wrong == []


def test_both_readmes_have_the_same_figures_commands_and_structure():
    one, other = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README_CN.md"))
    for pattern in (r"^#+ ", r"^\|", r"^```"):
        count = [len(re.findall(pattern, text, re.MULTILINE)) for text in (one, other)]
        assert count[0] == count[1], pattern
    tables = [
        [re.findall(r"\d[\d,.]*\d|\d", line) for line in text.splitlines() if line.startswith("|")]
        for text in (one, other)
    ]
    assert tables[0] == tables[1]
    assert uses_in(one) == uses_in(other)


def test_a_wrong_command_would_be_found():
    text = '`python -m convert verify D --bogus` and\n```\nRANKS=2 FOO=1 bash scripts/run_eval.sh \\\n  --batch-size 3  # --not-this\nmake train export ARGS="--lr-init 1"\n```\n'
    fenced, rest = uses_in(text)[:-1], uses_in(text)[-1]
    assert rest == Use("convert verify", ("bogus",))
    assert fenced == [
        Use("scripts/run_eval.sh", ("batch-size",), ("RANKS", "FOO")),
        Use("make train", (), ("ARGS",)),
        Use("make export", (), ("ARGS",)),
        Use("tinydarknet.train", ("lr-init",)),
        Use("tinydarknet.export", ("lr-init",)),
    ]
    assert "bogus" not in options_of("convert verify")
    assert "quick" in options_of("convert verify")


def test_files_named_in_code_exist():
    named = re.compile(r"(?<![\w./-])(?:convert|tinydarknet|benchmarks|scripts|tests|docs)(?:/[\w.-]+)+")
    wrong = []
    for name, path in zip(NAMES, DOCUMENTS, strict=True):
        for span in code_of(path.read_text("utf-8")):
            found = (match.rstrip(".") for match in named.findall(span))
            wrong += [(name, file) for file in found if not (ROOT / file).exists() and "results" not in file]
    assert wrong == []


def test_the_tree_drawn_in_the_architecture_page_is_the_tree():
    """Every folder of code is drawn, and what is drawn exists where it is drawn."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawing = next(block for block in FENCE.findall(page) if "convert/ " in block)
    folders: dict[int, Path] = {-1: ROOT}
    drawn = set()
    for line in drawing.splitlines()[1:-1]:
        indent = len(line) - len(line.lstrip())
        name = line.split()[0].rstrip(",")
        parent = next(folders[depth] for depth in range(indent - 1, -2, -1) if depth in folders)
        assert (parent / name).exists(), line
        for other in re.findall(r"\b\w+\.py\b", line):
            assert list(parent.rglob(other)), f"{other} in: {line}"
        folders = {depth: folder for depth, folder in folders.items() if depth < indent}
        folders[indent] = parent / name if name.endswith("/") else parent
        drawn.add((parent / name).resolve())
    code = {init.parent for room in ("convert", "tinydarknet") for init in (ROOT / room).rglob("__init__.py")}
    assert [str(folder.relative_to(ROOT)) for folder in code - drawn] == []


def test_the_changelog_has_its_fixed_headings():
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert releases
    for release in releases:
        assert re.findall(r"^### (.*)", release, re.MULTILINE) == ["Features", "Breaking changes", "Fixes"]
