"""Words and numbers as people read them, on the page and in the terminal. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def age(seconds: float) -> str:
    """A duration in its largest unit: 7s, 12m, 3h, 2d."""
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def long_age(seconds: float) -> str:
    """A duration in its two largest units: 2d 3h, 3h 12m, 12m 7s, 7s."""
    whole = int(max(0.0, seconds))
    parts = [
        f"{whole // size % limit}{unit}"
        for unit, size, limit in (("d", 86400, 10**9), ("h", 3600, 24), ("m", 60, 60), ("s", 1, 60))
        if whole >= size
    ]
    return " ".join(parts[:2]) or "0s"


def rate(value: float) -> str:
    """A number per second: 0, 0.4, 12.3, 1,234."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.05 else "0"


def duration(seconds: float | None) -> str:
    """A latency: 0.4 ms, 12 ms, 1.2 s; a dash for none."""
    if seconds is None:
        return "-"
    if seconds >= 1.0:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"


def size(count: int) -> str:
    """Bytes: 640 kB, 41 MB, 1.3 GB; a dash for none."""
    if count <= 0:
        return "-"
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 10**6 else f"{count / 1e3:.0f} kB"


def words(slug: str) -> str:
    """A slug as words: "not_probed" is "not probed"."""
    return slug.replace("_", " ")


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.250Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one RFC 3339 time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def plain(text: str) -> str:
    """`text` without characters that are not seen but do something: controls, marks that turn text around."""
    return "".join(c if c.isprintable() else " " for c in text)
