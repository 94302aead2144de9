"""The page of a run. Pure."""

from dataclasses import dataclass

from benchmarks.soak.verdict import Figure, Verdict


@dataclass(frozen=True, slots=True)
class About:
    """How and where a run was made."""

    date: str
    version: str
    cpu: str
    cores: int
    kernel: str
    busy: float
    """Load average of the minute before: what else the machine did."""
    workers: int
    rate: float
    """Requests a second that were asked for."""
    interval: float
    asked_seconds: float
    seconds: float
    """What it ran."""
    reloads: int


def duration(seconds: float) -> str:
    """Such as `10 min` or `25 h 30 min`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _row(each: Figure) -> str:
    return f"| {each.name} | {each.unit} | {_number(each.first)} | {_number(each.last)} | {each.slope:+.3g} |"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def page(about: About, verdict: Verdict, warm_up: float, growth: float, picture: str) -> str:
    """Markdown. `warm_up`: seconds; `growth`: MiB an hour that are allowed; `picture`: the plot's file beside it."""
    is_short = about.seconds < about.asked_seconds - about.interval
    short = f" It was to run {duration(about.asked_seconds)} and was ended early." if is_short else ""
    said = [f"- {problem}" for problem in verdict.problems] or ["Nothing failed, nothing grew beyond what is allowed."]
    kinds = [f"| {name} | {count:,} |" for name, count in sorted(verdict.kinds.items(), key=lambda item: -item[1])]
    failed = [f"| {cause} | {count:,} |" for cause, count in sorted(verdict.failures.items())]
    lines = [
        "# Soak",
        "",
        f"**This run lasted {duration(about.seconds)}.**{short} It says nothing about what takes longer to show.",
        "",
        f"- {about.date}; {about.version}; {about.workers} workers",
        f"- {about.cpu}, {about.cores} cores, {about.kernel}; load average before the run {about.busy:.1f}",
        f"- {about.rate:g} requests/s asked for, {verdict.requests:,} answered; {about.reloads} reloads",
        f"- a sample each {about.interval:g} s; the first {duration(warm_up)} are warm-up and not in the table",
        "",
        "## Verdict",
        "",
        *said,
        "",
        f"Allowed: no failed request, no replaced process, no more open descriptors, {growth:g} MiB of RSS an hour.",
        "",
        "## First and last quarter",
        "",
        "Medians of the samples after the warm-up; the slope is a linear fit through all of them.",
        "",
        "| | | first quarter | last quarter | per hour |",
        "|---|---|---:|---:|---:|",
        *map(_row, verdict.figures),
        "",
        f"![memory, descriptors, CPU and latency over time]({picture})",
        "",
        "## Requests",
        "",
        "| kind | as they should be |",
        "|---|---:|",
        *kinds,
        "",
        *(["| failed | |", "|---|---:|", *failed] if failed else ["None failed."]),
        "",
    ]
    return "\n".join(lines)
