"""`gw up` as PID 1, in a container: a process that reaps and passes signals on, and the gateway as its child.

The kernel gives PID 1 every process whose parent has ended: it must wait for them, or they stay as zombies.
And it has no default action for signals. Both are kept apart from the gateway, as tini does: a supervisor that
waited for whatever child ended would take the exit statuses of its own workers from whoever waits for them.
"""

from __future__ import annotations

import os
import signal
from typing import Final

# What a person, a container engine or a terminal may send to end, reload or inspect the gateway.
PASSED_ON: Final = frozenset(
    (
        signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGALRM, signal.SIGCONT, signal.SIGTSTP, signal.SIGWINCH,
    )
)  # fmt: skip
_FOR_PID_1: Final = ("LISTEN_PID", "WATCHDOG_PID")  # name the gateway: podman passes sockets like systemd


def split_off() -> int | None:
    """Go on as two processes: None in the child, which is the gateway; in this one its exit code, once it has ended.

    Called before there is a thread or an event loop: a forked child could not use either.
    """
    watched = PASSED_ON | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)  # nothing is lost before it is looked for
    child = os.fork()  # noqa: TID251 - see above
    if child:
        return _attend(child, watched)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    for name in _FOR_PID_1:
        if os.environ.get(name) == "1":
            os.environ[name] = str(os.getpid())
    return None


def _attend(child: int, watched: frozenset[signal.Signals]) -> int:
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code
        elif received.si_code <= 0:  # somebody sent it; what the terminal sends reaches the child as well
            os.kill(child, received.si_signo)


def _reap(child: int) -> int | None:
    """Wait for all who have ended; the exit code of `child` if it is among them, as a shell would give it."""
    code: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended
