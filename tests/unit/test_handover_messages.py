"""`gateway.handover.messages`: what a successor and its predecessor say, as bytes and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.handover.messages import (
    PROTOCOL,
    Ask,
    Description,
    HandoverError,
    Kind,
    Listening,
    decode_answer,
    decode_ask,
    decode_description,
    encode_answer,
    encode_ask,
    encode_description,
    encode_refusal,
)

words = st.text(max_size=20)
listening = st.builds(Listening, asked=words, address=words, sockets=st.integers(0, 300))
descriptions = st.builds(
    Description,
    kind=st.sampled_from(Kind),
    pid=st.integers(1, 4_000_000),
    version=words,
    admin=st.none() | listening,
    listeners=st.lists(listening, max_size=5).map(tuple),
    fellows=st.integers(1, 512),
)


@given(descriptions)
def test_a_description_comes_back_as_it_was(description: Description) -> None:
    assert decode_description(encode_description(description)) == description


def test_descriptors_are_the_state_the_admin_socket_and_the_listeners() -> None:
    two = (Listening("", "127.0.0.1:1", 2), Listening("", "127.0.0.1:2", 3))
    assert Description(Kind.ORPHAN, 1, "", None, two).descriptors == 6
    assert Description(Kind.SUPERVISOR, 1, "", Listening("", "127.0.0.1:3", 1), two).descriptors == 7


@pytest.mark.parametrize("ask", list(Ask))
def test_a_question_comes_back_with_its_fields(ask: Ask) -> None:
    assert decode_ask(encode_ask(ask, registration=["a"])) == (ask, {"registration": ["a"]})


def test_another_protocol_is_refused_with_a_sentence_on_either_side() -> None:
    later = json.dumps({"gw": PROTOCOL + 1, "ask": "describe"}).encode()
    with pytest.raises(HandoverError, match=r"to be replaced speaks version 1 .*, the one that starts version 2"):
        decode_ask(later)
    with pytest.raises(HandoverError, match=r"that starts speaks version 1 .*, the running one version 2"):
        decode_description(later)


def test_a_refusal_is_understood_whatever_its_protocol() -> None:
    for packet in (encode_refusal("not today"), json.dumps({"gw": 99, "refused": "not today"}).encode()):
        with pytest.raises(HandoverError, match=r"^not today$"):
            decode_answer(packet)


def test_a_field_that_a_later_version_added_is_ignored() -> None:
    known = Description(Kind.SUPERVISOR, 7, "1.0", None, (Listening("", "a:1", 1),))
    fields = json.loads(encode_description(known))
    fields["mood"] = fields["listeners"][0]["mood"] = "fine"
    assert decode_description(json.dumps(fields).encode()) == known
    assert decode_answer(encode_answer()) == {}


@given(st.binary(max_size=80))
def test_anything_else_is_an_error_and_nothing_worse(packet: bytes) -> None:
    for decode in (decode_ask, decode_answer, decode_description):
        with pytest.raises(HandoverError):
            decode(packet)


@pytest.mark.parametrize("fields", [{}, {"ask": "dance"}, {"ask": None}])
def test_an_unknown_question_is_an_error(fields: dict[str, object]) -> None:
    with pytest.raises(HandoverError, match="not a question"):
        decode_ask(json.dumps({"gw": PROTOCOL, **fields}).encode())


def test_a_description_too_long_for_a_packet_is_a_sentence() -> None:
    many = tuple(Listening("", f"host-{n}:{n}", 1) for n in range(2000))
    with pytest.raises(HandoverError, match="too many listen addresses"):
        encode_description(Description(Kind.SUPERVISOR, 1, "", None, many))
