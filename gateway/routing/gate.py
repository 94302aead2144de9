"""What comes before a route is followed: whose turn it is, who may, and whether the gateway answers itself.

Most routes have no gate. Everything in one is made when the table is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.access import AccessRules
from gateway.routing.compiled import CompiledRoute
from gateway.routing.redirect import Redirect
from gateway.routing.split import Split


class Gate:
    """Passed in this order: the split, then the access rules and the redirect of the route it picks."""

    __slots__ = ("access", "redirect", "split")

    def __init__(self, access: AccessRules | None, redirect: Redirect | None) -> None:
        self.split: Split | None = None
        self.access = access
        self.redirect = redirect


def put_gates(routes: Sequence[CompiledRoute]) -> None:
    """Give routes of one host and pattern the gates that they need."""
    sharing = [route for route in routes if route.record.share is not None]
    for route in routes:
        handling = route.record.handling
        access = AccessRules(handling.allow, handling.deny) if handling.allow or handling.deny else None
        redirect = Redirect(handling.redirect, handling.location) if handling.redirect else None
        if access or redirect or len(sharing) > 1:
            route.gate = Gate(access, redirect)
    if len(sharing) > 1:
        first = sharing[0].gate
        assert first is not None
        first.split = Split(sharing, [share.fraction for route in sharing if (share := route.record.share)])
