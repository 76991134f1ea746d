"""Commands as they run: real programs, each with a bad habit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import uvloop

from omni_connector.chat import Finish
from omni_connector.command.run import Run
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.command_values import MASK
from tests.command.programs import SAY, Workshop, bytes_of, gone, is_running, text_of

Json = dict[str, Any]

STREAMS = """
import sys, pathlib
for number in range(3):
    print("word", number, end=" ", flush=True)
    go = pathlib.Path(sys.argv[1]) / str(number)
    while not go.exists():
        pass
"""


async def refused(shop: Workshop, command: Json, *said: str, **body: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await shop.text(command, *said, **body)
    return caught.value


# ---------------------------------------------------------------- What it hears and says


@pytest.mark.parametrize("stream", [True, False])
async def test_a_program_answers(workshop: Workshop, stream: bool) -> None:
    answer = await workshop.ask({"argv": [*workshop.program(SAY), "--", "{model}"]}, "Grüße, 世界 🙂", stream=stream, model="tiny")
    assert text_of(answer) == "['--', 'tiny'] Grüße, 世界 🙂"
    assert (answer.choices[0].finish, answer.model) == (Finish.STOP, "tiny")


async def test_words_are_passed_on_as_they_come(workshop: Workshop, tmp_path: Path) -> None:
    run = await workshop.start({"argv": [*workshop.program(STREAMS), str(tmp_path)]})
    seen = b""
    for number in range(3):
        while b"word %d" % number not in seen:
            seen += await run.read()
        (tmp_path / str(number)).touch()  # only now may it say more
    assert b"word" not in await bytes_of(run)


async def test_nothing_a_client_sends_is_read_by_a_shell(workshop: Workshop, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    hostile = f"; rm -rf {victim} && $(rm {victim}) `rm {victim}` | rm {victim} > {victim}\n'\""
    command = {"argv": [*workshop.program(SAY), "x{prompt}", "{model}"], "input": "none"}
    said = await workshop.text(command, hostile, model="; rm -rf /")
    assert json.dumps(hostile)[1:-1].split("\\n")[0] in said.replace("\\'", "'")
    assert "; rm -rf /" in said
    assert victim.exists()


async def test_a_long_conversation_goes_in_without_a_deadlock(workshop: Workshop) -> None:
    """It writes before it has read everything: who writes first and reads then would wait for ever."""
    talks = "import sys\nsys.stdout.write('y' * 3_000_000); sys.stdout.flush(); print(len(sys.stdin.read()))"
    said = await workshop.text({"argv": workshop.program(talks)}, "x" * 3_000_000)
    assert said.endswith("y3000000")


async def test_a_program_that_reads_nothing_may_answer_all_the_same(workshop: Workshop) -> None:
    assert await workshop.text({"argv": workshop.program("print('done')")}, "x" * 3_000_000) == "done"


async def test_tokens_are_counted_where_none_are_reported(workshop: Workshop) -> None:
    run = await workshop.start({"argv": workshop.program("print('one two three four')")}, "a question of some words")
    blocks = [json.loads(line[6:]) for line in (await bytes_of(run)).splitlines() if line.startswith(b"data: {")]
    block = blocks[-1]["usage"]
    assert block["usage_source"] == "counted"
    assert 3 <= block["completion_tokens"] <= 6
    assert 4 <= block["prompt_tokens"] <= 8
    assert block["total_tokens"] == block["prompt_tokens"] + block["completion_tokens"]


async def test_what_the_program_reports_is_believed(workshop: Workshop) -> None:
    tells = """
    print('{"a": {"b/c": ["no", "yes"]}, "used": {"in": 70, "hit": 20, "out": 5}}')
    """
    usage = {"input": "/used/in", "cache_read": "/used/hit", "output": "/used/out"}
    output = {"kind": "json-pointer", "text": "/a/b~1c/1", "usage": usage}
    answer = await workshop.ask({"argv": workshop.program(tells), "output": output})
    assert text_of(answer) == "yes"
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.cache_read, answer.usage.output) == (50, 20, 5)
    assert "usage_source" not in answer.usage.raw


async def test_the_system_text_may_come_as_a_file_of_this_run_alone(workshop: Workshop) -> None:
    reads = "import sys, os, stat\np = sys.argv[1]\nprint(open(p).read(), oct(os.stat(os.path.dirname(p)).st_mode)[-3:], sys.stdin.read())"
    command = {"argv": [*workshop.program(reads), ["{system_file}"]]}
    messages = [{"role": "system", "content": "Be brief. " * 20_000}, {"role": "user", "content": "hi"}]
    said = await workshop.text(command, messages=messages)
    assert said.endswith("Be brief.  700 hi")


# ---------------------------------------------------------------- Where it runs


async def test_the_environment_holds_nothing_of_ours(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "OMNI_ADMIN_KEY": "omniadm-x",
        "OPENAI_API_KEY": "sk-x",
        "ANTHROPIC_API_KEY": "sk-ant-x",
        "MY_TOOL": "mine",
        "OTHER": "other",
    }
    shop = Workshop(tmp_path, env)
    command = {"argv": shop.program("import os, json; print(json.dumps(dict(os.environ)))"), "env": ["MY_TOOL"], "set": {"MODE": "a b"}}
    found = json.loads(await shop.text(command))
    await shop.commands.close()
    assert (found["MY_TOOL"], found["MODE"], found["TERM"], found["HOME"]) == ("mine", "a b", "dumb", env["HOME"])
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "NO_COLOR", "MY_TOOL", "MODE"}
    # What Python itself and the C library add.
    assert {name for name in found if not name.startswith("LC_")} <= allowed


async def test_each_run_has_a_folder_of_its_own(workshop: Workshop) -> None:
    look = """
    import os
    print(os.getcwd(), oct(os.stat('.').st_mode)[-3:], os.listdir())
    open('left', 'w')
    """
    argv = workshop.program(look)
    first, second = await workshop.text({"argv": argv}), await workshop.text({"argv": argv})
    assert first != second
    assert first.endswith("700 []")
    assert second.endswith("700 []")
    kept = [await workshop.text({"argv": argv, "cwd": "account"}) for _ in range(2)]
    assert kept[1].endswith("700 ['left']")
    assert kept[0].split()[0] == kept[1].split()[0] == str(workshop.home / "commands" / "acc_1")
    assert (await refused(workshop, {"argv": argv, "cwd": "/no/such/folder"})).kind is Kind.UPSTREAM_UNREACHABLE


# ---------------------------------------------------------------- How it fails


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import sys; sys.exit('out of memory')", Kind.UPSTREAM_FAILED, "ended with code 1: out of memory"),
        ("import sys; sys.exit(3)", Kind.UPSTREAM_FAILED, "ended with code 3"),
        ("", Kind.UPSTREAM_FAILED, "without an answer"),
        ("print('  \\n ')", Kind.UPSTREAM_FAILED, "without an answer"),
        ("import os; os.kill(os.getpid(), 9)", Kind.UPSTREAM_FAILED, "ended by signal 9"),
        ("import sys; sys.exit('Please run /login')", Kind.ACCOUNT_REJECTED, "Please run /login"),
        ("import sys; sys.exit('Error: 429 Too Many Requests')", Kind.ACCOUNT_RATE_LIMITED, "429"),
        ("print('Your prompt is too long'); raise SystemExit(1)", Kind.CONTEXT_TOO_LONG, "prompt is too long"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_is_told_in_the_programs_own_words(workshop: Workshop, code: str, kind: Kind, words: str, stream: bool) -> None:
    error = await refused(workshop, {"argv": workshop.program(code)}, stream=stream)
    assert error.kind is kind
    assert words in error.message


SECRETS = {"TOKEN": "tok-" + "0123456789" * 8, "LONGER": "tok-" + "0123456789" * 8 + "-more", "MODE": "1"}


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("sys.exit('refused: ' + token)", {}),
        ("sys.exit(token + ' ' * 3 + 'x' * 560)", {}),  # what is kept of it begins within the value
        ("print(token); sys.exit(1)", {}),
        ("print(token * 5)", {"output": {"kind": "json-pointer", "text": "/text"}}),
        ("print(json.dumps({'bad': token + 'x' * 560}))", {"output": {"kind": "json-pointer", "text": "/text", "error": "/bad"}}),
        ("print(json.dumps({'bad': token}))", {"output": {"kind": "json-lines", "text": "/text", "error": "/bad"}}),
        ("print(json.dumps({'type': 'result', 'is_error': True, 'result': token}))", {"output": {"kind": "claude-code"}}),
    ],
)
async def test_a_failure_repeats_no_value_that_it_was_given(workshop: Workshop, code: str, more: Json) -> None:
    for name in ("TOKEN", "LONGER"):
        argv = workshop.program(f"import json, os, sys\ntoken = os.environ['{name}']\n{code}")
        error = await refused(workshop, {"argv": argv, "set": SECRETS, **more})
        assert "0123456789" not in error.message
        if "exit" in code:
            with pytest.raises(GatewayError) as failed:
                await workshop.commands.check(workshop.local({"argv": argv, "check": argv, "set": SECRETS}), 5)
            assert "0123456789" not in failed.value.message


async def test_without_its_value_nothing_is_run(workshop: Workshop) -> None:
    """The program would use another sign-in that it finds."""
    error = await refused(workshop, {"argv": workshop.program("print('ran')"), "set": {"TOKEN": MASK}})
    assert (error.kind, "TOKEN" in error.message, MASK in error.message) == (Kind.ACCOUNT_REJECTED, True, False)


async def test_an_answer_that_breaks_off_is_no_answer(workshop: Workshop) -> None:
    dies = "import os, sys\nprint('half of an', flush=True)\nsys.stderr.write('disk full')\nsys.stderr.flush()\nos._exit(7)"
    run = await workshop.start({"argv": workshop.program(dies)})
    assert b"half of an" in await run.read()
    with pytest.raises(GatewayError, match="code 7: disk full"):
        await bytes_of(run)


async def test_a_missing_program_is_named(workshop: Workshop) -> None:
    error = await refused(workshop, {"argv": ["no-such-program-here", "{model}"]})
    assert error.kind is Kind.UPSTREAM_UNREACHABLE
    assert "'no-such-program-here'" in error.message


async def test_what_cannot_be_executed_is_said(workshop: Workshop, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o700)
    assert (await refused(workshop, {"argv": [str(broken)]})).kind is Kind.UPSTREAM_UNREACHABLE


async def test_a_template_that_is_not_valid_any_more_is_said(workshop: Workshop) -> None:
    error = await refused(workshop, {"argv": []})
    assert error.kind is Kind.UPSTREAM_UNREACHABLE
    assert "options.command.argv" in error.message


@pytest.mark.parametrize("text", ["--help", "-"])
async def test_no_text_becomes_an_option(workshop: Workshop, text: str) -> None:
    argv = workshop.program(SAY)
    error = await refused(workshop, {"argv": [*argv, "{prompt}"], "input": "none"}, text)
    assert (error.kind, error.param) == (Kind.BAD_REQUEST, "messages")
    assert (await refused(workshop, {"argv": [*argv, "{model}"]}, model=text)).param == "model"
    assert await workshop.text({"argv": [*argv, "--", "{prompt}"], "input": "none"}, text) == f"['--', '{text}']"


async def test_nul_and_half_an_emoji_do_no_harm(workshop: Workshop) -> None:
    argv = workshop.program(SAY)
    assert (await refused(workshop, {"argv": [*argv, "{prompt}"]}, "a\0b")).kind is Kind.BAD_REQUEST
    assert "a\0b" in await workshop.text({"argv": argv}, "a\0b"), "standard input takes it"
    assert "a\ufffdb" in await workshop.text({"argv": [*argv, "{prompt}"]}, "a\ud83db")
    too_long = await refused(workshop, {"argv": [*argv, "{prompt}"]}, "x" * 200_000)
    assert too_long.kind is Kind.TOO_LARGE


# ---------------------------------------------------------------- Limits


async def test_a_silent_program_is_ended(workshop: Workshop) -> None:
    error = await refused(workshop, {"argv": workshop.program("import time; time.sleep(60)"), "idle_s": 0.2, "timeout_s": 30})
    assert error.kind is Kind.UPSTREAM_TIMEOUT
    assert "silent for 0.2 s" in error.message


async def test_a_program_may_not_take_for_ever(workshop: Workshop) -> None:
    talks = "import time\nwhile True: print('x', flush=True); time.sleep(.05)"
    run = await workshop.start({"argv": workshop.program(talks), "timeout_s": 0.4})
    with pytest.raises(GatewayError, match=r"longer than 0\.4 s"):
        await bytes_of(run)


async def test_words_on_standard_error_are_a_sign_of_life(workshop: Workshop) -> None:
    works = "import sys, time\nfor _ in range(7): time.sleep(.1); print('loading', file=sys.stderr, flush=True)\nprint('there')"
    assert await workshop.text({"argv": workshop.program(works), "idle_s": 0.5}) == "there"


async def test_endless_output_is_cut_off(workshop: Workshop) -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    error = await refused(workshop, {"argv": workshop.program(endless), "max_output_bytes": 100_000}, stream=False)
    assert "more than 100000 bytes" in error.message


async def test_a_program_waits_for_a_slow_client(workshop: Workshop, tmp_path: Path) -> None:
    """What nobody reads stays in the program, not in our memory."""
    noted = tmp_path / "noted"
    noted.touch()
    pours = f"import sys\nwhile True:\n sys.stdout.write('x' * 65536)\n sys.stdout.flush()\n open({str(noted)!r}, 'a').write('.')"
    run = await workshop.start({"argv": workshop.program(pours), "max_output_bytes": 1 << 30})
    size = -1
    while noted.stat().st_size != size:
        size = noted.stat().st_size
        await asyncio.sleep(0.2)
    assert size * 65536 < 16 << 20
    run.close()


async def test_huge_standard_error_neither_blocks_nor_fills(workshop: Workshop) -> None:
    shouts = "import sys\nsys.stderr.write('e' * 5_000_000 + '\\nthe last words')\nsys.exit(1)"
    error = await refused(workshop, {"argv": workshop.program(shouts)})
    assert error.message.endswith("the last words.")
    assert len(error.message) < 1000


# ---------------------------------------------------------------- Nobody is left

FORKS = """
import os, signal, sys, time
child = os.fork()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if child:
    print(os.getpid(), child, flush=True)
time.sleep(60)
"""


async def pids(run: Run) -> list[int]:
    """The numbers that a program says first."""
    last = (await run.read()).strip().splitlines()[-1]
    return [int(word) for word in json.loads(last.removeprefix(b"data: "))["choices"][0]["delta"]["content"].split()]


async def test_cancelling_ends_the_whole_group(workshop: Workshop) -> None:
    run = await workshop.start({"argv": workshop.program(FORKS)})
    leader, child = await pids(run)
    assert is_running(leader)
    assert is_running(child)
    run.close()
    assert await gone(leader)
    assert await gone(child)
    assert await asyncio.wait_for(asyncio.gather(run.task, return_exceptions=True), 30)


async def test_leaving_before_the_first_word_ends_it_too(workshop: Workshop, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    quiet = f"import os, time\nopen({str(noted)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    asking = asyncio.create_task(workshop.start({"argv": workshop.program(quiet)}))
    while not noted.exists() or not noted.read_text():
        await asyncio.sleep(0.01)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert await gone(int(noted.read_text()))


async def test_leaving_at_any_moment_and_twice_leaves_nobody(workshop: Workshop, tmp_path: Path) -> None:
    """Also while the program is being started, when it runs already and nobody has its number yet."""
    here = tmp_path / "pids"
    here.mkdir()
    argv = workshop.program(
        f"import os, time\nopen(os.path.join({str(here)!r}, str(os.getpid())), 'w')\nprint('1', flush=True)\ntime.sleep(60)"
    )
    for turns in range(1, 40, 3):
        asking = asyncio.create_task(workshop.start({"argv": argv}, account=f"acc_{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0.002)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            run = await asking
            run.close()
            run.close()
    await workshop.commands.close()
    assert all([await gone(int(noted.name)) for noted in here.iterdir()])


async def test_a_child_left_behind_neither_delays_the_answer_nor_stays(workshop: Workshop, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    leaves = f"""
    import os, time
    child = os.fork()
    if not child:
        time.sleep(60)
    open({str(noted)!r}, 'w').write(str(child))
    print('done', flush=True)
    """
    async with asyncio.timeout(10):
        assert await workshop.text({"argv": workshop.program(leaves)}) == "done"
    assert await gone(int(noted.read_text()))


async def test_stopping_the_server_ends_every_run(workshop: Workshop) -> None:
    runs = [await workshop.start({"argv": workshop.program(FORKS)}, account=f"acc_{n}") for n in range(2)]
    everybody = [pid for run in runs for pid in await pids(run)]
    await workshop.commands.close()
    assert all([await gone(pid) for pid in everybody])
    with pytest.raises(GatewayError):
        await bytes_of(runs[0])


async def test_a_program_that_ends_politely_is_asked_first(workshop: Workshop, tmp_path: Path) -> None:
    noted = tmp_path / "polite"
    polite = f"""
    import signal, sys, time
    def bye(*_):
        open({str(noted)!r}, 'w').write('saved')
        sys.exit(0)
    signal.signal(signal.SIGTERM, bye)
    print('1 1', flush=True)
    time.sleep(60)
    """
    run = await workshop.start({"argv": workshop.program(polite)})
    await pids(run)
    run.close()
    await asyncio.gather(run.task, return_exceptions=True)
    assert noted.read_text() == "saved"


async def test_no_more_run_at_once_than_the_template_says(workshop: Workshop, tmp_path: Path) -> None:
    counts = f"""
    import os, time, uuid
    here = {str(tmp_path)!r}
    name = os.path.join(here, 'on-' + uuid.uuid4().hex)
    open(name, 'w')
    time.sleep(.03)
    print(len([n for n in os.listdir(here) if n.startswith('on-')]))
    os.remove(name)
    """
    command = {"argv": workshop.program(counts), "max_in_flight": 3}
    told = await asyncio.gather(*(workshop.text(command) for _ in range(20)))
    assert max(map(int, told)) <= 3


def test_the_same_holds_on_the_servers_event_loop(tmp_path: Path) -> None:
    async def scene() -> None:
        shop = Workshop(tmp_path)
        said = await shop.text({"argv": [*shop.program(SAY), "{model}"]}, "x" * 1_000_000, model="fast")
        assert said.startswith("['fast'] xxx")
        run = await shop.start({"argv": shop.program(FORKS)})
        everybody = await pids(run)
        run.close()
        await asyncio.gather(run.task, return_exceptions=True)
        assert all([await gone(pid) for pid in everybody])
        await shop.commands.close()

    uvloop.run(scene())


# ---------------------------------------------------------------- Is it there?


async def test_the_check_says_whether_it_can_be_used(workshop: Workshop) -> None:
    works, fails = workshop.program("print('1.0')"), workshop.program("import sys; sys.exit('no account')")

    async def check(**command: Any) -> str:
        return await workshop.commands.check(workshop.local({"argv": ["cat"], **command}), 5)

    assert "is there" in await check()
    assert "ended well" in await check(check=works)
    with pytest.raises(GatewayError, match="no account") as broken:
        await check(check=fails)
    assert broken.value.kind is Kind.UPSTREAM_FAILED
    with pytest.raises(GatewayError, match="`tool login`") as stranger:
        await check(check=fails, login="tool login")
    assert (stranger.value.kind, stranger.value.upstream_status) == (Kind.ACCOUNT_REJECTED, 401)
    with pytest.raises(GatewayError, match="no program 'nowhere'"):
        await check(argv=["nowhere"])
    hangs = workshop.program("import time; time.sleep(60)")
    with pytest.raises(GatewayError, match="did not end within"):
        await workshop.commands.check(workshop.local({"argv": ["cat"], "check": hangs}), 0.2)


async def test_only_conversations_can_be_asked(workshop: Workshop) -> None:
    with pytest.raises(GatewayError) as caught:
        await workshop.commands.send("command:acc_1/images/generations", b"{}", workshop.local({"argv": ["cat"]}))
    assert caught.value.upstream_status == 404
