import json

from hypothesis import given
from hypothesis import strategies as st

from omni_connector.routing.affinity import TTL_MS, Home, Homes, fingerprint

NOW = 1_800_000_000_000


def test_a_name_is_of_one_key_one_model_and_these_marks() -> None:
    marks = (b"text", b"Be brief.", b"hi")
    name = fingerprint("key_1", "m", marks)
    assert len(name) == 32 and name == fingerprint("key_1", "m", list(marks))
    others = [("key_2", "m", marks), ("key_1", "n", marks), ("key_1", "m", (b"text", b"Be brief.h", b"i"))]
    assert len({name, *(fingerprint(*other) for other in others)}) == 4
    assert fingerprint("key_1", "m", ()) == ""
    assert len(fingerprint("key_1", "\ud83d", marks)) == 32  # half an emoji


# ---------------------------------------------------------------- Homes


def test_a_home_lasts_an_hour_from_the_last_answer() -> None:
    homes = Homes()
    homes.settle("f", "acc_a", 100, NOW)
    homes.settle("f", "acc_b", 250, NOW + 5)
    assert homes.home("f", NOW + TTL_MS) == Home("acc_b", NOW + 5, 250)
    assert homes.home("f", NOW + 5 + TTL_MS) is None
    assert homes.home("g", NOW) is None
    homes.settle("", "acc_a", 1, NOW)
    assert homes.home("", NOW) is None
    homes.settle("u", "acc_a", None, NOW)
    assert homes.home("u", NOW) == Home("acc_a", NOW, 0)


def test_homes_are_bounded_and_the_longest_rested_gives_way() -> None:
    homes = Homes(most=3)
    for n, fingerprinted in enumerate("abcad"):
        homes.settle(fingerprinted, "acc_x", n, NOW + n)
    assert {row[0] for row in homes.take()} == {"c", "a", "d"}
    homes.settle("e", "acc_x", 1, NOW + 10 + TTL_MS)
    assert len(homes) == 1  # the others had run out


def test_homes_survive_a_restart_and_meet_those_of_another_process() -> None:  # J-05
    homes = Homes()
    for n, fingerprinted in enumerate("abc"):
        homes.settle(fingerprinted, f"acc_{fingerprinted}", n, NOW + n)
    again = Homes(most=4)
    again.settle("b", "acc_new", 9, NOW + 50)
    again.load(json.loads(json.dumps(homes.take())), NOW + 60)
    again.load([("", "acc_x", NOW, 1), ("future", "acc_x", NOW + 10**9, 1), ("old", "acc_x", NOW - TTL_MS, 1)], NOW + 60)
    assert again.take() == [("b", "acc_new", NOW + 50, 9)], "what was loaded is no news"
    assert (len(again), again.home("c", NOW + 60)) == (3, Home("acc_c", NOW + 2, 2))
    again.settle("d", "acc_d", 1, NOW + 61)
    again.settle("e", "acc_d", 1, NOW + 62)
    assert again.home("a", NOW + 62) is None and again.home("b", NOW + 62), "the longest rested gives way"


def test_each_news_is_taken_once_unless_it_is_given_back() -> None:
    homes = Homes(most=2)
    assert not homes.has_news
    homes.settle("a", "acc_a", 1, NOW)
    homes.settle("a", "acc_b", 2, NOW + 1)
    homes.settle("b", "acc_a", 3, NOW + 2)
    assert homes.has_news
    taken = homes.take()
    assert sorted(taken) == [("a", "acc_b", NOW + 1, 2), ("b", "acc_a", NOW + 2, 3)]
    assert not homes.has_news and homes.take() == []
    homes.settle("a", "acc_c", 4, NOW + 3)
    homes.settle("c", "acc_c", 5, NOW + 4)  # now b is forgotten
    homes.give_back(taken)
    assert sorted(homes.take()) == [("a", "acc_c", NOW + 3, 4), ("c", "acc_c", NOW + 4, 5)]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, TTL_MS // 2)), max_size=40), st.integers(1, 5))
def test_the_newest_answers_are_always_known(turns: list[tuple[str, int]], most: int) -> None:
    homes, now = Homes(most), NOW
    for fingerprinted, passed in turns:
        now += passed
        homes.settle(fingerprinted, "acc_a", 1, now)
        assert len(homes) <= most
        assert homes.home(fingerprinted, now) == Home("acc_a", now, 1)
    restored = Homes(most)
    restored.load(homes.take(), now)
    assert {name: restored.home(name, now) for name in "abcdefgh"} == {name: homes.home(name, now) for name in "abcdefgh"}
