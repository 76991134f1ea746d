"""Sources and token probabilities between the formats."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.wire.gemini_notes import from_chat_logprobs, grounding_of, merged, sources_of, to_chat_logprobs

WEB = {"web": {"uri": "https://example.com/a", "title": "A"}}
RESULT = {
    "chosenCandidates": [{"token": "Hä", "logProbability": -0.5}],
    "topCandidates": [{"candidates": [{"token": "Hä", "logProbability": -0.5}, {"token": "Ho", "logProbability": -2.0}]}],
}


def test_sources() -> None:
    extra = {
        "groundingMetadata": {
            "groundingChunks": [WEB, {"maps": {"uri": "https://maps.example.com"}}, {"retrievedContext": {"text": "stored"}}, WEB],
            "groundingSupports": [{"segment": {"text": "said"}, "groundingChunkIndices": [0, 9]}],
        },
        "citationMetadata": {"citationSources": [{"uri": "https://example.com/b", "startIndex": 1}]},
    }
    assert sources_of(extra) == [
        {"type": "grounding", "url": "https://example.com/a", "title": "A", "cited_text": "said"},
        {"type": "grounding", "url": "https://maps.example.com"},
        {"type": "grounding", "url": "https://example.com/b"},
    ]


def test_citations_of_other_formats() -> None:
    notes = [
        {"type": "url_citation", "url_citation": {"url": "https://example.com/a", "title": "A", "start_index": 0}},
        {"type": "web_search_result_location", "url": "https://example.com/b", "title": None},
        {"type": "char_location"},
    ]
    found = grounding_of(notes)
    assert found == {"groundingChunks": [WEB, {"web": {"uri": "https://example.com/b", "title": "https://example.com/b"}}]}
    assert [source["url"] for source in sources_of({"groundingMetadata": found})] == ["https://example.com/a", "https://example.com/b"]
    assert grounding_of([]) is None


def test_logprobs_there_and_back() -> None:
    chat = to_chat_logprobs(RESULT)
    assert chat is not None
    assert chat["content"][0] == {
        "token": "Hä",
        "logprob": -0.5,
        "bytes": [72, 195, 164],
        "top_logprobs": [
            {"token": "Hä", "logprob": -0.5, "bytes": [72, 195, 164]},
            {"token": "Ho", "logprob": -2.0, "bytes": [72, 111]},
        ],
    }
    assert from_chat_logprobs(chat) == RESULT


def test_documents_without_an_address_are_cited_by_their_name() -> None:
    notes = [
        {"type": "file_citation", "file_id": "file-1", "filename": "test.txt", "index": 3},
        {"type": "char_location", "document_title": "facts.txt", "cited_text": "Ruby is a language."},
        {"type": "char_location", "document_title": "facts.txt", "cited_text": "another place"},
    ]
    assert grounding_of(notes) == {
        "groundingChunks": [
            {"retrievedContext": {"title": "test.txt"}},
            {"retrievedContext": {"title": "facts.txt", "text": "Ruby is a language."}},
        ]
    }


def test_what_several_chunks_say_adds_up() -> None:
    assert merged("logprobsResult", merged("logprobsResult", None, RESULT), {**RESULT, "new": 1}) == {
        "chosenCandidates": RESULT["chosenCandidates"] * 2,
        "topCandidates": RESULT["topCandidates"] * 2,
        "new": 1,
    }
    one, other = {"uri": "https://example.com/a"}, {"uri": "https://example.com/b"}
    cited = merged("citationMetadata", {"citationSources": [one]}, {"citationSources": [one, other]})
    assert cited == {"citationSources": [one, other]}
    assert merged("groundingMetadata", {"groundingChunks": [WEB]}, {"webSearchQueries": ["q"]}).keys() == {
        "groundingChunks",
        "webSearchQueries",
    }
    assert merged("tokenCount", 3, 5) == 5


@pytest.mark.parametrize("value", [None, 3, [], {}, {"chosenCandidates": 3}, {"content": [3]}, {"groundingChunks": [3]}])
def test_odd_values(value: Any) -> None:
    assert to_chat_logprobs(value) is from_chat_logprobs(value) is None
    assert sources_of({"groundingMetadata": value, "citationMetadata": value}) == []
