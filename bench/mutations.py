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
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.mutation_rules import RULES, Mutation

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- Written by `python -m bench.mutations --table`; do not edit by hand. -->\n\n"
END = "<!-- End of the generated section. -->\n"
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header")
AT_ONCE = 2
PATIENCE_S = 120
"""For the tests of one mutation, on a machine that others use as well."""
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


def copied(folder: Path) -> Path:
    """The checkout without what is hidden or made by running it."""

    def left_out(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(".") or name == "__pycache__"]

    return Path(shutil.copytree(ROOT, folder, ignore=left_out))


def put(copy: Path, module: str, text: str) -> None:
    """Writes a source. Its compiled form goes: two versions of one size within a second look the same to the import system."""
    path = copy / module
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def tried(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code and output; -1 when it took too long."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    try:
        done = subprocess.run([*PYTEST, *tests], cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return -1, f"nothing within {PATIENCE_S} s"
    return done.returncode, done.stdout + done.stderr


def result(copy: Path, mutation: Mutation) -> tuple[str, str]:
    """What became of one mutation, and the output where it is worth reading."""
    source = (ROOT / mutation.module).read_text(encoding="utf-8")
    text = mutated(source, mutation)
    if text is None:
        return NOT_FOUND, mutation.module
    put(copy, mutation.module, text)
    try:
        code, output = tried(copy, mutation.tests)
    finally:
        put(copy, mutation.module, source)
    if code == TESTS_FAILED:
        return KILLED, ""
    return (SURVIVED, "") if code == 0 else (BROKEN, output)


# ---------------------------------------------------------------- The run


def run(chosen: Sequence[Mutation]) -> int:
    """Exit code."""
    began = time.monotonic()
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        copies = [copied(Path(folder) / str(number)) for number in range(AT_ONCE)]
        every = sorted({test for mutation in chosen for test in mutation.tests})
        shares = [every[number::AT_ONCE] for number in range(AT_ONCE)]
        for code, output in pool.map(lambda work: tried(*work) if work[1] else (0, ""), zip(copies, shares, strict=True)):
            if code:
                print(output)
                print("The tests fail without any mutation.")
                return 1
        print(f"{len(every)} tests pass as it is ({time.monotonic() - began:.0f} s)\n", flush=True)
        free = list(copies)

        def one(mutation: Mutation) -> tuple[Mutation, str, str, float]:
            copy, started = free.pop(), time.monotonic()
            try:
                return mutation, *result(copy, mutation), time.monotonic() - started
            finally:
                free.append(copy)

        for mutation, what, output, took in pool.map(one, chosen):
            counts[what] += 1
            print(f"{what:<22}{took:5.1f} s  {mutation.rule}", flush=True)
            if output:
                print(output)
    print(f"\n{', '.join(f'{count} {what}' for what, count in counts.items())}; {time.monotonic() - began:.0f} s in all")
    return 0 if set(counts) <= {KILLED} else 1


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
