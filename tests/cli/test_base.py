from omni_connector.cli.base import Stop, near, words
from tests.cli.conftest import Cli


def test_lists_take_commas_and_blanks() -> None:
    assert words("a, b,,c d") == ["a", "b", "c", "d"]
    assert words("") == []
    assert words(None) is None


def test_near_names() -> None:
    assert near("lapp", ["laptop", "ci"]) == " (did you mean 'laptop'?)"
    assert near("zzz", ["laptop"]) == ""


def test_a_stop_has_a_message_and_a_code() -> None:
    assert (str(Stop("no")), Stop("no").code, Stop("no", 3).code) == ("no", 1, 3)


def test_an_unknown_command_names_near_ones_here_and_below(cli: Cli) -> None:
    for argv, said in (
        (("bakend",), "'omni-connector backend'"),
        (("acount", "list"), "'omni-connector account'"),
        (("backend", "lst"), "'omni-connector backend list'"),
        (("create",), "'omni-connector key create'"),
        (("xyzzy",), "--help"),
    ):
        result = cli(*argv)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert said in result.err
