from omni_connector.clients import env_file


def test_values_keep_their_place() -> None:
    text = "A=1\r\nexport K = 'old' \r\nB=2"
    after = env_file.set_values(text, {"K": "new", "N": "x"})
    assert after == "A=1\r\nexport K =new\r\nB=2\r\nN=x\r\n"
    assert env_file.set_values(after, {"K": "new", "N": "x"}) == after


def test_values_are_read_without_quotes_and_the_last_one_counts() -> None:
    assert env_file.get('K="a"\nexport K=b\n', "K") == "b"
    assert env_file.get("set -gx K 'c'\n", "K") == "c"
    assert env_file.get("KK=1\n", "K") == ""


def test_a_block_is_put_at_the_end_and_replaced_where_it_stands() -> None:
    first = env_file.put_block("x", ["one"])
    assert first == "x\n# >>> omni-connector >>>\none\n# <<< omni-connector <<<\n"
    assert env_file.put_block(first + "y\n", ["two"]) == first.replace("one", "two") + "y\n"
