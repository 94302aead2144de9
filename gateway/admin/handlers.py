"""What each path of the admin interface answers, apart from HTTP itself: a facade in, a `Reply` out.

`server` puts these on the wire. Errors are problem+json bodies (RFC 9457) with a stable `reason`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from gateway.admin import progress, status
from gateway.admin.explanation import Asked, NotExplained
from gateway.admin.facts import Facade, NotKnown, ReloadError
from gateway.admin.process import usage

JSON = "application/json"
PROBLEM = "application/problem+json"
BY_DEFAULT = "the admin interface"  # who drains, when they do not say
BY_CHARS = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """A status code and a JSON body."""

    status: int
    body: Mapping[str, object]
    media_type: str = JSON


def problem(code: int, reason: str, detail: str, **more: object) -> Reply:
    """An error as RFC 9457 has it: `reason` is the slug for programs, `detail` the sentence for people."""
    title = HTTPStatus(code).phrase
    body = {"type": "about:blank", "title": title, "status": code, "reason": reason, "detail": detail, **more}
    return Reply(code, body, PROBLEM)


def health(facade: Facade) -> Reply:
    """Liveness: whoever can answer this is alive."""
    pulse = facade.pulse()
    return Reply(200, {"status": "ok", "name": pulse.name, "version": pulse.version})


def ready(facade: Facade) -> Reply:
    """Readiness: 503 with the reasons until every worker accepts and discovery has answered, and while draining."""
    pulse = facade.pulse()
    reasons = [*pulse.not_ready, *(["the gateway is draining"] if pulse.draining and not pulse.not_ready else [])]
    if not reasons:
        return Reply(200, {"ready": True, "reasons": []})
    detail = f"The gateway is not ready: {'; '.join(reasons)}."
    return problem(503, "draining" if pulse.draining else "not_ready", detail, ready=False, reasons=reasons)


def show_status(facade: Facade) -> Reply:
    """Everything `gw status` shows."""
    return Reply(200, status.status(facade.facts(), facade.ledger, usage=usage, now=time.time()))


def show_routes(facade: Facade) -> Reply:
    """The routes in force and where each came from."""
    return Reply(200, status.routes(facade.facts(), facade.ledger))


def show_services(facade: Facade) -> Reply:
    """The services in force, their instances, and where each came from."""
    return Reply(200, status.services(facade.facts(), facade.ledger))


def show_progress(facade: Facade, service: str) -> Reply:
    """How far the newest state has come, and one service's instances."""
    return Reply(200, progress.progress(facade.progress(service), facade.ledger))


def show_config(facade: Facade) -> Reply:
    """The configuration in force, secrets hidden."""
    return Reply(200, facade.config())


async def reload(facade: Facade) -> Reply:
    """Apply the configuration anew, or say everything that is wrong with it and change nothing."""
    try:
        needs_restart = await facade.reload()
    except ReloadError as error:
        detail = "The new configuration is not usable; nothing was changed."
        return problem(422, "bad_configuration", detail, problems=list(error.problems))
    return Reply(200, {"reloaded": True, "generation": facade.facts().generation, "needs_restart": list(needs_restart)})


def down(facade: Facade) -> Reply:
    """Begin to drain; the gateway ends once what is in flight has finished."""
    facade.down()
    return Reply(202, {"draining": True})


def drain(facade: Facade, asked: object) -> Reply:
    """Take an instance out of balancing; `asked` is the request's JSON: service, instance and, if known, by whom."""
    return _operate_instance(facade, asked, drains=True)


def undrain(facade: Facade, asked: object) -> Reply:
    """Put an instance back that was drained."""
    return _operate_instance(facade, asked, drains=False)


async def explain(facade: Facade, asked: object) -> Reply:
    """What would become of a request; `asked` is the JSON of it: method, url and, if need be, headers and client."""
    question = _question(asked)
    if question is None:
        example = '{"method": "GET", "url": "/users/7", "headers": [["Accept", "*/*"]], "client": "192.0.2.7"}'
        return problem(400, "bad_request", f"The body must be JSON such as {example}.")
    try:
        return Reply(200, dict(await facade.explain(question)))
    except NotExplained as error:
        return problem(400, error.reason, str(error))


def _question(asked: object) -> Asked | None:
    wanted = asked if isinstance(asked, dict) else {}
    method, url, headers = wanted.get("method", "GET"), wanted.get("url"), wanted.get("headers", [])
    client = wanted.get("client", "")
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    texts = [method, url, client]
    if not isinstance(pairs, list):
        return None
    for pair in pairs:
        if not (isinstance(pair, list | tuple) and len(pair) == 2):
            return None
        texts += pair
    if not all(isinstance(text, str) for text in texts):
        return None
    return Asked(str(method), str(url), tuple((str(name), str(value)) for name, value in pairs), str(client))


def _operate_instance(facade: Facade, asked: object, *, drains: bool) -> Reply:
    wanted = asked if isinstance(asked, dict) else {}
    service, address, by = wanted.get("service"), wanted.get("instance"), wanted.get("by", BY_DEFAULT)
    if not (isinstance(service, str) and isinstance(address, str) and isinstance(by, str)):
        detail = 'The body must be JSON such as {"service": "users", "instance": "10.0.0.1:9001", "by": "alice"}.'
        return problem(400, "bad_request", detail)
    operate = facade.drain_instance if drains else facade.undrain_instance
    try:
        changed = operate(service, address, by[:BY_CHARS] or BY_DEFAULT)
    except NotKnown as error:
        known = {f"{error.kind}s": list(error.known)}
        there = f"There are: {', '.join(error.known)}." if error.known else "There are none."
        return problem(404, f"no_such_{error.kind}", f"{error} {there}", **known)
    body = {"service": service, "instance": address, "draining": drains, "changed": changed}
    return Reply(200, {**body, "generation": facade.facts().generation})
