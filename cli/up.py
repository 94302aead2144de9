"""`gw up`: loads the configuration, runs the supervisor, says one line when it serves.

Standard output belongs to the access log, so everything said here goes to standard error.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import trio

from cli.demo import Demo, DemoError
from gateway import log
from gateway.admin.facts import Facts
from gateway.config.load import ConfigError, Loaded, Overrides, default_file, load
from gateway.supervisor import held_signals, main
from gateway.supervisor.upgrade import PREDECESSOR

NO_ROUTES = """\
gw: there are no routes: no configuration file was found and no Consul is known. Every request gets 404. Either
  write a gateway.toml here, or name one with -c FILE, then start again
  take routes from the tags of Consul's services: gw up --consul http://127.0.0.1:8500
  try it with backends of its own: gw up --demo"""


def up(
    config: Path | None,
    workers: int | None,
    listen: list[str],
    admin: str | None,
    consul: str | None,
    demo: bool,
    replace: bool,
) -> int:
    """Run the gateway in the foreground; returns the exit code: 0 after a drain, 1 failed, 2 bad configuration."""
    closed = _open_standard_descriptors()
    if demo and config is not None:
        _say("gw: --demo brings its own configuration: leave out either --demo or -c")
        return 2
    if demo and replace:
        _say("gw: --demo is not replaced by another --demo: stop the running one, then start it again")
        return 2
    with ExitStack() as stack:
        playground: Demo | None = None
        if demo:
            try:
                playground = stack.enter_context(Demo())
            except DemoError as error:
                _say(f"gw: {error}")
                return 1
            path: Path | None = playground.config_path
        else:
            path = config or default_file()
        overrides = Overrides(listen=tuple(listen), admin=admin, workers=workers, consul=consul)
        read = partial(load, path, environ=os.environ, overrides=overrides)
        try:
            loaded = read()
        except ConfigError as error:
            for problem in error.problems:
                _say(problem)
            return 2
        main.configure_log(loaded)
        if 1 in closed and loaded.log.access == "stdout":
            log.say("gw: standard output is closed: the lines of the access log go nowhere")
        if path is None and loaded.consul is None:
            _say(NO_ROUTES)
        return _run(loaded, read, playground, replace=replace)


def _open_standard_descriptors() -> list[int]:
    """Open those of 0, 1, 2 that are closed, on nothing, and return them.

    Whatever were opened next would take their numbers, and lines meant for standard output would go there.
    """
    closed = []
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            os.set_inheritable(number, True)
            closed.append(number)
    return closed


def _run(loaded: Loaded, read: partial[Loaded], playground: Demo | None, *, replace: bool) -> int:
    def announce(facts: Facts, admin: str) -> None:
        log.say(ready_line(facts, admin))  # does not wait: the gateway serves already
        if playground is not None:
            log.say(playground.hint(facts.listen[0]))

    predecessor = os.environ.pop(PREDECESSOR, "")  # not for those that are started from here
    run = partial(main.run, loaded, reload=read, on_ready=announce, replace=replace, predecessor=predecessor)
    try:
        return trio.run(run)
    except main.GatewayFailed as error:
        _say(f"gw: {error}")
        return 1
    finally:
        held_signals.ignore()


def ready_line(facts: Facts, admin: str) -> str:
    """The one line that says where the gateway is."""
    listen = ", ".join(f"http://{address}" for address in facts.listen)
    counts = [
        _count(len(facts.workers), "worker"),
        _count(len(facts.services), "service"),
        _count(len(facts.routes), "route"),
    ]
    return f"gw {facts.version} ready: {counts[0]} on {listen}, admin http://{admin}, {counts[1]}, {counts[2]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line's own words
