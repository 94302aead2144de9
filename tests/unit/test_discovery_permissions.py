"""What a token lacks, in the words of Consul's rules."""

from __future__ import annotations

import pytest

from discovery.consul_sd.permissions import NODE_READ, Permission, in_words, missing, needed_for, to_read_service


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/health/service/web", 'service:read on "web" and node:read'),
        ("/v1/health/service/a/b", 'service:read on "a/b" and node:read'),
        ("/v1/health/state/any", "service:read and node:read"),
        ("/v1/health/node/n1", "service:read and node:read"),
        ("/v1/catalog/node/n1", "service:read and node:read"),
        ("/v1/catalog/nodes", "node:read"),
        ("/v1/catalog/services", "service:read"),
        ("/v1/kv/gw/", 'key_prefix:read "gw/"'),
        ("/v1/agent/service/register", "service:write"),
        ("/v1/agent/services", "service:read"),
        ("/v1/internal/acl/authorize", ""),
    ],
)
def test_every_call_has_its_rules(path: str, words: str) -> None:
    assert in_words(needed_for(path)) == words


def test_what_is_denied_is_missing() -> None:
    asked = to_read_service("web")
    answer = [
        {"Resource": "service", "Segment": "web", "Access": "read", "Allow": True},
        {"Resource": "node", "Access": "read", "Allow": False},
    ]
    assert missing(asked, answer) == (NODE_READ,)
    assert asked[0].query() == {"Resource": "service", "Access": "read", "Segment": "web"}


@pytest.mark.parametrize("answer", [None, {}, [1], [{"Resource": "node"}]])
def test_an_answer_that_says_nothing_of_it_is_no_answer(answer: object) -> None:
    with pytest.raises(ValueError, match="not a list of permissions"):
        missing([Permission("node", "read")], answer)
