"""The bytes that a terminal sends as the names of keys. Pure."""

from __future__ import annotations

import re
from typing import Final

# ECMA-48 control sequences, and the short ones (SS3) of terminals in application mode.
_SEQUENCE: Final = re.compile(r"\x1b(?:\[([0-9;]*)([ -/]*[@-~])|O([A-Za-z]))")
_NAMES: Final = {"A": "up", "B": "down", "H": "home", "F": "end"}
_NUMBERED: Final = {"1": "home", "4": "end", "5": "pageup", "6": "pagedown", "7": "home", "8": "end"}
_PLAIN: Final = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x1b": "escape"}


def decode(data: bytes) -> list[str]:
    """What one read gave, key by key: characters as they are, others by name; what is not known is left out."""
    text = data.decode(errors="replace")
    found: list[str] = []
    while text:
        sequence = _SEQUENCE.match(text)
        if sequence is None:
            found.append(_PLAIN.get(text[0], text[0]))
            text = text[1:]
            continue
        number, last, short = sequence.groups()
        name = _NUMBERED.get(number) if last == "~" else _NAMES.get(short or last)
        found += [name] if name else []
        text = text[sequence.end() :]
    return found
