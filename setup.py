"""Compiles the modules of the hot path with mypyc; everything else is in pyproject.toml.

The same typed sources run as plain Python where they are not compiled: in an editable install, with
GW_COMPILE=0, and where there is no C compiler.
"""

from __future__ import annotations

import os
import sys

from setuptools import setup

HOT = [
    "gateway/balance/hashing.py",
    "gateway/balance/instance.py",
    "gateway/balance/latency.py",
    "gateway/balance/least_connections.py",
    "gateway/balance/outlier.py",
    "gateway/balance/picker.py",
    "gateway/balance/rotation.py",
    "gateway/balance/simple.py",
    "gateway/balance/weighted.py",
    "gateway/h1/fields.py",
    "gateway/h1/framing.py",
    "gateway/h1/request.py",
    "gateway/h1/response.py",
    "gateway/proxy/account.py",
    "gateway/proxy/budget.py",
    "gateway/proxy/context.py",
    "gateway/proxy/deadlines.py",
    "gateway/proxy/downstream.py",
    "gateway/proxy/exchange.py",
    "gateway/proxy/forward.py",
    "gateway/proxy/patience.py",
    "gateway/proxy/reply.py",
    "gateway/proxy/request_body.py",
    "gateway/proxy/retry.py",
    "gateway/proxy/service.py",
    "gateway/proxy/tunnel.py",
    "gateway/proxy/upstream.py",
    "gateway/routing/compiled.py",
    "gateway/routing/match.py",
    "gateway/routing/normal.py",
    "gateway/worker/accept.py",
    "gateway/worker/access_log.py",
    "gateway/worker/loop.py",
    "gateway/worker/wire.py",
]


def wants_compiling() -> bool:
    """An editable install stays Python: a compiled module would hide every later edit of its source."""
    asked = os.environ.get("GW_COMPILE", "")
    return asked != "0" and ("editable_wheel" not in sys.argv or asked == "1")


def extensions() -> list[object]:
    """One C extension per module, each allowed to fail."""
    if not wants_compiling():
        return []
    from mypyc.build import mypycify  # a build requirement, not needed for plain Python

    built = mypycify(HOT, opt_level="2", debug_level="0")
    for extension in built:
        extension.optional = True  # without a C compiler the Python sources serve
    return list(built)


setup(ext_modules=extensions())
