"""Which values are nobody's business: those are shown as `HIDDEN` wherever a configuration is shown."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "(hidden)"
_SECRET: Final = re.compile(r"authorization|cookie|token|secret|passw|credential|api-?key", re.IGNORECASE)


def shown(name: str, value: str) -> str:
    """The value of a header field or key, unless its name says that it is a secret. An empty one hides nothing."""
    return HIDDEN if value and _SECRET.search(name) else value
