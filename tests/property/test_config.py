"""Laws of the configuration: nothing but ConfigError for any input, and what `${NAME}` means."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Origin, OriginKind
from gateway.config.document import substitute
from gateway.config.kinds import Section
from gateway.config.load import ConfigError, load, service_from_options
from gateway.config.model import FileConfig, keys_of, subsections
from gateway.config.problems import Fault
from gateway.config.validate import examine
from gateway.config.values import Untyped


def all_keys(model: type[Section]) -> set[str]:
    return set(keys_of(model)).union(*(all_keys(section) for _, section in subsections(model)))


WORDS = st.sampled_from(
    ["users", "/a", "/a/*", "/{x}", "http://a:1", "127.0.0.1:80", "GET", "http", "hash", "header:X", "a.b", "${A}", ""]
)
SCALARS = st.one_of(
    st.text(max_size=20), WORDS, st.integers(), st.floats(), st.booleans(), st.dates(), st.times(),
    st.datetimes(timezones=st.just(datetime.UTC)),
)  # fmt: skip
KEYS = st.sampled_from(sorted(all_keys(FileConfig))) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
VARIABLES = st.dictionaries(st.sampled_from(["A", "B", "C_1"]), st.text(max_size=8))


def shaped(model: type[Section]) -> st.SearchStrategy[object]:
    """Tables that look like the model's, with any values."""
    below = dict(subsections(model))
    keys = {
        key: VALUES if key not in below else shaped(below[key]) | st.lists(shaped(below[key]), max_size=3)
        for key in keys_of(model)
    }
    return st.fixed_dictionaries({}, optional=keys)


@given(tables=st.dictionaries(KEYS, VALUES) | shaped(FileConfig))
def test_any_tables_are_either_right_or_have_faults(tables: dict[str, object]) -> None:
    config, faults = examine(tables)
    assert (config is None) == bool(faults)
    assert all(fault.message and "\n" not in fault.message for fault in faults)


def problems_of(content: bytes, environ: dict[str, str]) -> tuple[str, ...]:
    """The problems of a file; none if it loads. Anything but ConfigError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.toml"
        file.write_bytes(content)
        try:
            load(file, environ=environ)
        except ConfigError as error:
            return error.problems or ("a ConfigError without problems",)
        return ()


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), environ=VARIABLES)
def test_any_file_is_loaded_or_refused_with_its_name(content: bytes, environ: dict[str, str]) -> None:
    assert all("gateway.toml: " in problem for problem in problems_of(content, environ))


@given(
    value=st.text(),
    variables=st.dictionaries(st.sampled_from(["APP_NAME", "LOG_LEVEL", "CONSUL_HTTP_ADDR"]), st.text()),
)
def test_any_environment_is_taken_or_refused(value: str, variables: dict[str, str]) -> None:
    content = b'[gateway]\nname = "${V}"\nworkers = "${V}"\n[[routes]]\npath = "/${V}"\nservice = "${V}"'
    problems = problems_of(content, {**variables, "V": value})
    assert "routes[0].service" in "".join(problems) or "routes[0]: has neither" in "".join(problems)


@given(options=st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES), name=st.text(max_size=5))
def test_any_options_make_a_service_or_are_refused_with_their_origin(options: dict[str, object], name: str) -> None:
    origin = Origin(OriginKind.KV, "gw/services/a")
    try:
        service_from_options(name, origin, options)
    except ConfigError as error:
        problems = error.problems
    else:
        problems = ("kv: gw/services/a",)
    assert problems
    assert all(problem.startswith("kv: gw/services/a") for problem in problems)


def substituted(value: object, environ: dict[str, str]) -> tuple[object, list[Fault]]:
    faults: list[Fault] = []
    return substitute(value, environ, ("key",), faults), faults


@given(value=VALUES, environ=VARIABLES)
def test_what_has_no_reference_stays_as_it_is(value: object, environ: dict[str, str]) -> None:
    if "${" not in repr(value):
        result, faults = substituted(value, environ)
        assert repr(result) == repr(value)
        assert faults == []


@given(before=st.text(), after=st.text(), inserted=st.text())
def test_a_variable_is_inserted_as_it_is_and_not_looked_at_again(before: str, after: str, inserted: str) -> None:
    before, after = before.replace("$", ""), after.replace("$", "")
    result, faults = substituted(f"{before}${{A}}{after}", {"A": inserted})
    assert (result, faults) == (f"{before}{inserted}{after}", [])
    assert isinstance(result, Untyped) == (before == after == "")


@given(value=st.none() | st.text(), default=st.text().map(lambda text: text.translate({ord(c): None for c in "{}"})))
def test_a_default_is_used_exactly_if_the_variable_is_unset_or_empty(value: str | None, default: str) -> None:
    environ = {} if value is None else {"A": value}
    assert substituted(f"${{A:-{default}}}", environ) == (value or default, [])


@given(text=st.text(alphabet="${}A:-x"), environ=VARIABLES)
def test_a_dollar_and_brace_is_inserted_escaped_or_a_fault(text: str, environ: dict[str, str]) -> None:
    result, faults = substituted(text, environ)
    assert isinstance(result, str)
    if "${" not in text:
        assert (result, faults) == (text, [])
    escaped, no_faults = substituted(text.replace("${", "$${") if "$${" not in text else "", {})
    assert no_faults == []
    assert escaped == (text if "$${" not in text else "")
