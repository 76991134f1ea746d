"""Mutations: every rule that the fast lane keeps is switched off in turn, and a test must fail each time.

    python -m bench.mutations                    all of them (bench/mutation_rules.py)
    python -m bench.mutations --only draining    one, or several: --only draining --only "body limit"
    python -m bench.mutations --table            rewrites the table of docs/reliability.md

Works in temporary copies of the checkout: there one text of one source is replaced, and only the tests that are named for it run. First
all the named tests run unchanged, so that what fails then fails because of the mutation. The exit code is 1 if a mutant survives, if a
text is no longer found, or if the tests fail by themselves.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bench.mutation_rules import RULES, Mutation

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- Written by `python -m bench.mutations --table`; do not edit by hand. -->\n\n"
END = "<!-- End of the generated section. -->\n"
AT_ONCE = 2
TESTS_FAILED = 1
"""pytest's exit code for that, and for nothing else."""

KILLED, SURVIVED, NOT_FOUND, BROKEN = "killed", "SURVIVED", "text no longer found", "NOT RUN"


def mutated(source: str, mutation: Mutation) -> str | None:
    """The source with the rule switched off; None where the text is not in it exactly once."""
    return source.replace(mutation.old, mutation.new) if source.count(mutation.old) == 1 else None


def table() -> str:
    """The rules with their source and the tests that fail without them, as docs/reliability.md shows them."""
    lines = ["| Rule | Kept in | Fails without it |", "| --- | --- | --- |"]
    for one in RULES:
        tests = ", ".join(f"`{test.removeprefix('tests/').partition('[')[0]}`" for test in one.tests)
        lines.append(f"| {one.says} | `{one.module}` | {tests} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with its table written anew. ValueError: it has no place for it."""
    head, found, rest = page.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the page has no section between {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{head}{BEGIN}{table()}\n{END}{tail}"


# ---------------------------------------------------------------- Copies


class Copy:
    """A copy of the checkout, and who runs tests in it. What is hidden stays behind; compiled files go along, they are valid there too."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(shutil.copytree(ROOT, folder, ignore=lambda _, names: [name for name in names if name.startswith(".")]))
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
        program = [sys.executable, str(self.folder / "bench" / "mutation_server.py")]
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(program, cwd=self.folder, env=environment, stdin=pipe, stdout=pipe, text=True)

    def run(self, tests: Sequence[str]) -> tuple[int, str]:
        """pytest's exit code and output; -1 when it took too long."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(tests) + "\n")
        self._server.stdin.flush()
        code, output = json.loads(self._server.stdout.readline())
        return int(code), str(output)

    def put(self, module: str, text: str) -> None:
        """Writes a source. Its compiled form goes: two versions of one size within a second look the same to the import system."""
        path = self.folder / module
        path.write_text(text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def close(self) -> None:
        """Also without this, the server ends with its input."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


def result(copy: Copy, mutation: Mutation) -> tuple[str, str]:
    """What became of one mutation, and the output where it is worth reading."""
    source = (copy.folder / mutation.module).read_text(encoding="utf-8")
    text = mutated(source, mutation)
    if text is None:
        return NOT_FOUND, mutation.module
    copy.put(mutation.module, text)
    try:
        code, output = copy.run(mutation.tests)
    finally:
        copy.put(mutation.module, source)
    if code == TESTS_FAILED:
        return KILLED, ""
    return (SURVIVED, "") if code == 0 else (BROKEN, output)


# ---------------------------------------------------------------- The run


def run(chosen: Sequence[Mutation]) -> int:
    """Exit code."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder, contextlib.ExitStack() as closing:
        copies = [closing.enter_context(contextlib.closing(Copy(Path(folder) / str(number)))) for number in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return _all(chosen, copies, pool)


def _all(chosen: Sequence[Mutation], copies: list[Copy], pool: ThreadPoolExecutor) -> int:
    began = time.monotonic()
    every = sorted({test for mutation in chosen for test in mutation.tests})
    for code, output in pool.map(lambda share: _unchanged(*share), _shares(copies, every)):
        if code:
            print(f"{output}\nThe tests fail without any mutation.")
            return 1
    print(f"{len(every)} tests pass as it is ({time.monotonic() - began:.0f} s)\n", flush=True)

    def one(mutation: Mutation) -> tuple[Mutation, str, str, float]:
        copy, started = copies.pop(), time.monotonic()
        try:
            return mutation, *result(copy, mutation), time.monotonic() - started
        finally:
            copies.append(copy)

    counts: collections.Counter[str] = collections.Counter()
    for done in as_completed([pool.submit(one, mutation) for mutation in chosen]):
        mutation, what, output, took = done.result()
        counts[what] += 1
        print(f"{what:<22}{took:5.1f} s  {mutation.rule}", flush=True)
        if output:
            print(output)
    print(f"\n{', '.join(f'{count} {what}' for what, count in counts.items())}; {time.monotonic() - began:.0f} s in all")
    return 0 if set(counts) <= {KILLED} else 1


def _unchanged(copy: Copy, tests: Sequence[str]) -> tuple[int, str]:
    """Once more where it fails: deadlines of a few milliseconds are no match for a machine that is busy with other work."""
    if not tests:
        return 0, ""
    code, output = copy.run(tests)
    return copy.run(tests) if code else (code, output)


def _shares(copies: Sequence[Copy], tests: Sequence[str]) -> list[tuple[Copy, list[str]]]:
    """Tests of one file stay together, so that each file is imported once."""
    shares: list[tuple[Copy, list[str]]] = [(copy, []) for copy in copies]
    for _, of_file in itertools.groupby(tests, key=lambda test: test.partition("::")[0]):
        min(shares, key=lambda share: len(share[1]))[1].extend(of_file)
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mutations", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="RULE", choices=[one.rule for one in RULES], help="one rule; may be repeated")
    parser.add_argument("--table", action="store_true", help="rewrite the table of docs/reliability.md, run nothing")
    asked = parser.parse_args()
    if asked.table:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    return run([one for one in RULES if not asked.only or one.rule in asked.only])


if __name__ == "__main__":
    sys.exit(main())
