"""One blocking query after another, for ever: the rules by which an index may be trusted.

- The first query has no index and returns at once; each later one carries the index of the answer
  before it, and returns when something changed or the wait is over.
- An index counts only from a good answer. After any failure, and after an index that went back, the
  next query starts anew without one: a restarted agent counts from small numbers again, and an index
  kept over that would sleep through every change until the wait runs out (hashicorp/consul#2621).
- An answer is *unbroken* if it answers a query with the index of the answer before it. Only such an
  answer proves that what it lacks is gone.
- An answer with the same index as the one before says that nothing changed. If it lacks something all the
  same, the token has lost the right to see it (older versions of Consul leave that out without a word).
- A return is no promise of change: whoever takes the answers compares.
- Failures never end a watch; it backs off and tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import NoReturn

import trio

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import DecodeError
from discovery.consul_sd.errors import ConsulError, Forbidden, Rejected, Unreachable
from discovery.consul_sd.pacing import Backoff, Bucket

Connect = Callable[[], ConsulClient]
Query = Callable[[ConsulClient, int], Awaitable[Reply]]
OnReply = Callable[[Reply, bool], None]  # the reply, and whether it is unbroken; may raise DecodeError
OnFailure = Callable[[ConsulError], None]


async def watch(
    connect: Connect,
    query: Query,
    on_reply: OnReply,
    on_failure: OnFailure,
    random: Random,
    index: int = 0,
    bucket: Bucket | None = None,
) -> NoReturn:
    """Runs the query on a connection of its own until cancelled; `index` is that of an answer to go on from. `bucket`
    limits how often, in place of one as it is by default."""
    bucket, backoff = bucket or Bucket(), Backoff(random)
    async with connect() as client:
        while True:
            await trio.sleep(bucket.take(trio.current_time()))
            try:
                reply = await query(client, index)
                went_back = reply.index < index
                is_repeat = reply.index == index
                on_reply(replace(reply, is_repeat=True) if is_repeat else reply, index > 0 and not went_back)
            except (ConsulError, DecodeError) as error:
                failure = error if isinstance(error, ConsulError) else Unreachable(f"Consul: {error}")
                on_failure(failure)
                index = 0
                await trio.sleep(backoff.delay(is_hopeless=_is_hopeless(failure)))
            else:
                backoff.reset()
                index = 0 if went_back else reply.index


def _is_hopeless(error: ConsulError) -> bool:
    return isinstance(error, (Forbidden, Rejected)) or (isinstance(error, Unreachable) and error.crowded)
