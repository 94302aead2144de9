"""Compiles the modules of the hot path with mypyc; everything else is in pyproject.toml.

The same typed sources run as plain Python where they are not compiled: in an editable install (a compiled
module would hide every later edit of its source), with GW_COMPILE=0, and where there is no C compiler.
"""

from __future__ import annotations

import os

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext

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
    "gateway/outlet.py",
    "gateway/proxy/account.py",
    "gateway/proxy/attempts.py",
    "gateway/proxy/b3.py",
    "gateway/proxy/budget.py",
    "gateway/proxy/context.py",
    "gateway/proxy/counts.py",
    "gateway/proxy/deadlines.py",
    "gateway/proxy/downstream.py",
    "gateway/proxy/exchange.py",
    "gateway/proxy/forward.py",
    "gateway/proxy/gate.py",
    "gateway/proxy/patience.py",
    "gateway/proxy/reply.py",
    "gateway/proxy/request_body.py",
    "gateway/proxy/retry.py",
    "gateway/proxy/service.py",
    "gateway/proxy/shortage.py",
    "gateway/proxy/stories.py",
    "gateway/proxy/tracing.py",
    "gateway/proxy/tunnel.py",
    "gateway/proxy/upstream.py",
    "gateway/routing/access.py",
    "gateway/routing/compiled.py",
    "gateway/routing/gate.py",
    "gateway/routing/match.py",
    "gateway/routing/normal.py",
    "gateway/routing/redirect.py",
    "gateway/routing/split.py",
    "gateway/routing/text_prefixes.py",
    "gateway/shm/rings.py",
    "gateway/worker/accept.py",
    "gateway/worker/access_log.py",
    "gateway/worker/backlog.py",
    "gateway/worker/descriptors.py",
    "gateway/worker/log_sink.py",
    "gateway/worker/loop.py",
    "gateway/worker/pipes.py",
    "gateway/worker/wire.py",
]

# What the sources import need not be installed to build them, and is not checked here: `make check` does that.
MYPY = ["--config-file=", "--ignore-missing-imports"]


class HasExtensions(Distribution):
    """Has extensions, though which they are is only known once they are built."""

    def has_ext_modules(self) -> bool:
        return True


class BuildHot(build_ext):
    """Turns the modules into C, then builds that. Only when it is run: other commands merely ask for it."""

    def run(self) -> None:
        if self.editable_mode or os.environ.get("GW_COMPILE") == "0":
            return
        from mypyc.build import mypycify  # a build requirement, not needed for plain Python

        extensions = mypycify([*MYPY, *HOT], opt_level="2", debug_level="0")
        for extension in extensions:
            extension.optional = True  # without a C compiler the Python sources serve
        self.distribution.ext_modules = extensions
        in_place = self.inplace
        self.initialize_options()  # what is finalized cannot be twice
        self.inplace = in_place
        self.finalize_options()
        super().run()


setup(distclass=HasExtensions, cmdclass={"build_ext": BuildHot})
