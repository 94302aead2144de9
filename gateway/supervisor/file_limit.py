"""How many files a process may open."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger(__name__)


def raise_file_limit(connections: int) -> None:
    """As many as the system lets. Workers inherit the limit, and need two descriptors for each of their connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = 2 * connections
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.warning("few open files are allowed: raise the hard limit (ulimit -Hn)", limit=hard, wanted=wanted)
