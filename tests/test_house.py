"""The checks that keep the house to its floor plan (house_rules.py).

The checks are functions over plain values, and each has a test of its own below: a rule that cannot fail is no rule.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from omni_connector import docs
from tests.house_rules import ANYWHERE, ARROWS, COVERED_BY, DOORS, MAX_LINES, MAX_LINES_EXCEPT

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "omni_connector"

# ----------------------------------------------------------------------------------------------------------- the checks


def imports(source: str, module: str) -> Iterator[tuple[str, bool]]:
    """(dotted name, only for type checkers?) of everything `source` imports, wherever it does so; relative ones made absolute."""
    tree = ast.parse(source)
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")]
    typing_only = {id(inner) for block in blocks for line in block.body for inner in ast.walk(line)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            for alias in node.names:
                yield f"{base}.{alias.name}", id(node) in typing_only


def room_of(dotted: str, rooms: set[str]) -> str | None:
    """The room a dotted import reaches, or None when it is none of ours."""
    parts = dotted.split(".")
    if parts[0] == "app":
        return "app"
    if parts[0] != "omni_connector" or len(parts) < 2 or parts[1] not in rooms:
        return None
    return parts[1]


def wrong_arrows(source: str, module: str, room: str, rooms: set[str]) -> list[str]:
    """What `source`, a module of `room`, imports against ARROWS and DOORS. Annotations may name the types of a library."""
    found = []
    for dotted, typing_only in imports(source, module):
        library = dotted.split(".", 1)[0]
        target = room_of(dotted, rooms)
        if target is not None and target != room and target not in ARROWS.get(room, set()) | ANYWHERE:
            found.append(f"{module} imports {dotted}, but {room} may not know {target}")
        if library in DOORS and room not in DOORS[library] and not typing_only:
            found.append(f"{module} imports {library}, whose only door is {' or '.join(DOORS[library])}")
    return found


def sources() -> list[tuple[Path, str, str]]:
    """(path, dotted module, room) of every source file of the product."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        parts = dotted.split(".")
        found.append((path, dotted, parts[1] if len(parts) > 1 else ""))
    found += [(path, f"migrations.{path.stem}", "migrations") for path in sorted((ROOT / "migrations").rglob("*.py"))]
    if (ROOT / "app.py").exists():
        found.append((ROOT / "app.py", "app", "app"))
    return found


def missing_tests(files: set[str], covered_by: Mapping[str, str]) -> list[str]:
    """Package sources ("wire/sse.py") without their test ("tests/wire/test_sse.py"); `files` are all files, relative to the top."""
    found, used = [], set()
    for file in sorted(files):
        if not file.startswith("omni_connector/") or not file.endswith(".py") or file.endswith(("/__init__.py", "/__main__.py")):
            continue
        source = file.removeprefix("omni_connector/")
        folder, _, name = source.rpartition("/")
        mirrored = "/".join(filter(None, ["tests", folder, f"test_{name}"]))
        if mirrored in files:
            continue
        pattern = next((pattern for pattern in covered_by if fnmatchcase(source, pattern)), None)
        if pattern is None:
            found.append(f"{source} has no test: expected {mirrored}")
            continue
        used.add(pattern)
        if f"tests/{covered_by[pattern]}" not in files:
            found.append(f"{source} is said to be covered by tests/{covered_by[pattern]}, which does not exist")
    return found + [f"COVERED_BY needs no {pattern} any more" for pattern in covered_by if pattern not in used]


def banners(source: str) -> list[str]:
    """Section titles of a large file: comment lines like `# ---- Client API ----`."""
    return [match[1].strip(" -─=") for match in re.finditer(r"^# ?[-─=]{3,} ?(.*\w.*)$", source, re.M)]


def out_of_order(docstring: str, titles: list[str]) -> list[str]:
    """Titles that the docstring does not name, or names in another order than they stand."""
    missing = [title for title in titles if title not in docstring]
    places = [docstring.index(title) for title in titles if title in docstring]
    return missing + ([] if places == sorted(places) else ["the order differs"])


def dead_links(text: str, folder: Path) -> list[str]:
    """Relative Markdown links of a page in `folder` that lead nowhere."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [target for target in targets if target and "://" not in target and not (folder / target).exists()]


@cache
def tracked() -> tuple[str, ...]:
    """All files of the project as Git sees them (new ones included), or as they lie there where Git is not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())
    return tuple(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file())


def text_of(name: str) -> str:
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


# ------------------------------------------------------------------------------------------------------ the house itself


def test_arrows_and_doors() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    unknown = {room for _, _, room in sources() if room not in {"__init__", "__main__", "migrations"}} - set(ARROWS)
    assert not unknown, f"new rooms need a place in ARROWS: {sorted(unknown)}"
    wrong = []
    for path, module, room in sources():
        if room != "migrations":
            wrong += wrong_arrows(path.read_text(), module, "cli" if room == "__main__" else room, rooms)
    assert not wrong, "\n".join(wrong)


def test_every_source_has_its_test() -> None:
    missing = missing_tests(set(tracked()), COVERED_BY)
    assert not missing, "\n".join(missing)


def test_files_stay_readable() -> None:
    sizes = {
        name: len(text_of(name).splitlines())
        for name in tracked()
        if name.endswith((".py", ".js", ".css")) and "/vendor/" not in name and name not in MAX_LINES_EXCEPT
    }
    large = {name: lines for name, lines in sizes.items() if lines > MAX_LINES}
    assert not large, f"more than {MAX_LINES} lines, split them: {large}"


def test_app_names_its_sections_in_order() -> None:
    if not (ROOT / "app.py").exists():
        pytest.skip("app.py is not there yet")
    source = (ROOT / "app.py").read_text()
    titles = banners(source)
    assert titles, "app.py has sections, each under a comment line `# ---- Title ----`"
    assert not out_of_order(ast.get_docstring(ast.parse(source)) or "", titles)


def test_generated_pages_are_fresh() -> None:
    stale = [name for name, page in docs.PAGES.items() if text_of(f"docs/{name}") != page()]
    assert not stale, f"stale: {stale}. Rewrite them: {Path(sys.executable).name} -m omni_connector.docs"


def test_links_of_the_pages_lead_somewhere() -> None:
    pages = [name for name in tracked() if name.endswith(".md") and "/vendor/" not in name]
    dead = {name: found for name in pages if (found := dead_links(text_of(name), (ROOT / name).parent))}
    assert not dead


def test_index_names_every_page() -> None:
    index = text_of("docs/index.md")
    pages = {Path(name).name for name in tracked() if re.fullmatch(r"docs/[^/]+\.md", name)} - {"index.md"}
    assert not [name for name in sorted(pages) if f"]({name})" not in index]


def test_promises_named_in_tests_exist() -> None:
    known = docs.read_promises()
    unknown = {name: files for name, files in docs.kept_by(ROOT / "tests").items() if name not in known}
    assert not unknown


def test_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(r"```\w*\n(.*?)```", text_of("README.md"), re.S)
    assert [line.split("#")[0].strip() for line in blocks[0].splitlines()] == ["./install.sh --start", "./install.sh --test"]


def test_readme_tells_the_agent_all_it_needs() -> None:  # O-06
    block = next(text for text in re.findall(r"```text\n(.*?)```", text_of("README.md"), re.S) if "Model:" in text)
    assert "http://localhost:38471/v1" in block
    assert "omni-" in block
    assert re.search(r"Model: +auto\b", block)
    assert "<" in block, "the parts the user fills in are marked"


def test_every_kind_has_a_face_in_every_format() -> None:
    from omni_connector.errors import GatewayError, Kind
    from omni_connector.wire import TWO_WAY

    for name, module in TWO_WAY.items():
        for kind in Kind:
            body = json.dumps(module.render_error(GatewayError(kind, f"about {kind}")))
            assert f"about {kind}" in body, (name, kind)


def test_vendored_files_are_the_published_ones() -> None:
    listing = ROOT / "static/vendor/VENDOR.json"
    if not listing.exists():
        pytest.skip("static/vendor is not there yet")
    packages = json.loads(listing.read_text())["packages"]
    expected = {entry["file"]: entry["sha256"] for package in packages for entry in package.get("files", ()) if "sha256" in entry}
    assert expected
    for name, digest in expected.items():
        assert hashlib.sha256((listing.parent / name).read_bytes()).hexdigest() == digest, name


def test_no_path_or_host_of_a_workplace_is_tracked() -> None:
    # Put together from pieces, so that this file does not find itself.
    words = ["/wo" + "rk/main", "/wo" + "rk/shared", "pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org"]
    if len(ROOT.parent.parts) > 2:
        words.append(f"{ROOT.parent}/")
    found = [(name, word) for name in tracked() for word in words if word in text_of(name)]
    assert not found


IN_IMAGE = ("postgres", "otel")
"""The extras that a container image has."""


def test_lock_files_fit_the_project() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    for lock, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-test.lock", project["dependencies"] + project["optional-dependencies"]["test"]),
        (
            "requirements-container.lock",
            [*project["dependencies"], *(line for name in IN_IMAGE for line in project["optional-dependencies"][name])],
        ),
    ):
        text = text_of(lock)
        assert "://" not in text, f"{lock} names an address"
        pins: dict[str, list[Requirement]] = {}
        for block in re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.M)):
            assert "--hash=sha256:" in block, f"{lock} has a package without a hash: {block[:60]}"
            pin = Requirement(block.split("\\")[0])
            pins.setdefault(pin.name.lower(), []).append(pin)
        for line in wanted:
            need = Requirement(line)
            fits = [pin for pin in pins.get(need.name.lower(), ()) if need.specifier.contains(next(iter(pin.specifier)).version)]
            assert fits, f"{lock} has no {line}; docs/installing.md says how to renew it"


# ------------------------------------------------------------------------------------------- the checks check themselves

ROOMS = set(ARROWS)


@pytest.mark.parametrize(
    ("source", "module", "room", "complaint"),
    [
        ("from omni_connector.store import engine", "omni_connector.relay", "relay", "may not know store"),
        ("from omni_connector import store", "omni_connector.relay", "relay", "may not know store"),
        ("def f():\n    import omni_connector.providers.rows", "omni_connector.routing.plan", "routing", "may not know providers"),
        ("from ..store import keys", "omni_connector.wire.sse", "wire", "may not know store"),
        ("if TYPE_CHECKING:\n    from omni_connector.chat import Event", "omni_connector.errors", "errors", "may not know chat"),
        ("import app", "omni_connector.jobs", "jobs", "may not know app"),
        ("from quart import request", "omni_connector.admin.keys", "admin", "only door is app"),
        ("import httpx2 as http", "omni_connector.cli.desk", "cli", "only door is upstream"),
        ("import sqlalchemy.ext.asyncio", "app", "app", "only door is store"),
    ],
)
def test_an_illegal_import_is_caught(source: str, module: str, room: str, complaint: str) -> None:
    found = wrong_arrows(source, module, room, ROOMS)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("source", "module", "room"),
    [
        (
            "from omni_connector.errors import Kind\nfrom omni_connector import __version__, snapshot",
            "omni_connector.routing.plan",
            "routing",
        ),
        ("from omni_connector.wire.sse import lines\nfrom . import views", "omni_connector.wire.openai_chat", "wire"),
        ("import sqlalchemy as sa", "omni_connector.store.keys", "store"),
        ("import httpx2, omni_connector.direct", "omni_connector.upstream", "upstream"),
        ("import quart\nfrom omni_connector.store import engine", "app", "app"),
        ("if TYPE_CHECKING:\n    import sqlalchemy as sa", "omni_connector.admin.room", "admin"),
    ],
)
def test_a_legal_import_passes(source: str, module: str, room: str) -> None:
    assert wrong_arrows(source, module, room, ROOMS) == []


def test_arrows_have_no_way_round() -> None:
    """Below the front doors no two rooms may know each other, by whatever way: the plan itself is a plan."""
    meeting = {
        "kept",
        "jobs",
        "probing",
        "refreshing",
        "quotas",
        "reconciling",
        "onboarding",
        "clients",
        "alerts",
        "cli",
        "supervisor",
        "docs",
        "app",
        "admin",
        "relay",
        "ledger",
        "doctor",
        "gateway",
    }
    for room, known in ARROWS.items():
        if room in meeting:
            continue
        seen, todo = set(), set(known)
        while todo:
            seen |= todo
            todo = set().union(*(ARROWS[name] for name in todo)) - seen
        assert room not in seen, f"{room} reaches itself"


def test_a_missing_test_is_caught() -> None:
    files = {
        "omni_connector/__init__.py",
        "omni_connector/a.py",
        "omni_connector/wire/b.py",
        "omni_connector/wire/c_1.py",
        "tests/test_a.py",
    }
    assert missing_tests(files, {"wire/c_*.py": "wire/test_gone.py", "a.py": "test_a.py"}) == [
        "wire/b.py has no test: expected tests/wire/test_b.py",
        "wire/c_1.py is said to be covered by tests/wire/test_gone.py, which does not exist",
        "COVERED_BY needs no a.py any more",
    ]
    assert missing_tests(files | {"tests/wire/test_b.py"}, {"wire/c_*.py": "test_a.py"}) == []


def test_sections_are_compared() -> None:
    titles = banners("# ---- Settings ----\nx = 1\n# --------------\n# ─── Client API ───\n#--- Jobs\n")
    assert titles == ["Settings", "Client API", "Jobs"]
    assert out_of_order("Settings, Client API, Jobs", titles) == []
    assert out_of_order("Client API, Settings", titles) == ["Jobs", "the order differs"]


def test_dead_links_are_caught(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md#part) [b](gone.md) [c](https://x.invalid/) `[d](code.md)` [e](#part)"
    assert dead_links(text, tmp_path) == ["gone.md"]
