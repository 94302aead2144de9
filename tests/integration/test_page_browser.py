"""The web page in a real browser, before a real gateway: with and without JavaScript, wide, narrow, light, dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend, start_backend
from tests.browser import Browser, open_browser
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(autouse=True)
def as_ever(browser: Browser) -> Iterator[None]:
    yield
    browser.switch_scripts(on=True)
    browser.run("try { localStorage.clear() } catch {}")
    browser.resize(1280)
    browser.prefer("light")


@pytest.fixture(scope="module")
def two() -> Iterator[Backend]:
    with start_backend("two") as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, two: Backend) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with start_backend("one") as one, start_gateway(folder, one_service(one.url, two.url)) as started:
        started.wait_until(lambda: len(started.eligible()) == 2)
        yield started


def page(gateway: RunningGateway) -> str:
    return f"http://{gateway.admin}/"


def row(gateway: RunningGateway, backend: Backend) -> str:
    """A selector of an instance's row."""
    return f'[id="instance-{gateway.status()["services"][0]["name"]}-{backend.address}"]'


def test_tables_are_whole_without_javascript(browser: Browser, gateway: RunningGateway, two: Backend) -> None:
    gateway.get("/users/1")
    browser.switch_scripts(on=False)
    browser.open(page(gateway))
    assert browser.text("h1") == gateway.status()["name"]
    assert "ready" in browser.text("header .pill")
    for address in gateway.eligible():
        assert address in browser.text("#services")
    assert "healthy" in browser.text(row(gateway, two))
    assert "/users/*" in browser.text("#routes") or "/*" in browser.text("#routes")
    assert [browser.count(f"#workers tbody tr:nth-child({n})") for n in (1, 2, 3)] == [1, 1, 0]
    assert browser.count("button") == 1  # of the filter's form; what needs a script is not offered
    browser.type("#filter", "nothing of this name")
    browser.click("#search button")
    assert "No service matches" in browser.text("#services")


def test_an_instance_that_goes_down_is_seen_without_a_reload(
    browser: Browser, gateway: RunningGateway, two: Backend
) -> None:
    browser.open(page(gateway))
    browser.run("window.isTheSame = true")
    browser.run("document.querySelector('.past details').open = true")
    assert "2 of 2 take traffic" in browser.text("#services article header")
    two.set_health(503)
    browser.wait(lambda: "unhealthy" in browser.text(row(gateway, two)))
    assert "1 of 2 take traffic" in browser.text("#services article header")
    assert "need a look" in browser.run("return document.querySelector('#announce').textContent")
    assert browser.run("return window.isTheSame")
    assert browser.count(".past details[open]") == 1  # what was opened stays open
    two.set_health(200)
    browser.wait(lambda: "2 of 2 take traffic" in browser.text("#services article header"))


def test_a_gateway_that_does_not_answer_is_said(browser: Browser, gateway: RunningGateway) -> None:
    browser.open(page(gateway))
    assert browser.count("#silence") == 0
    browser.run("window.fetch = () => Promise.reject(new Error('connection refused'))")
    browser.wait(lambda: "No answer for" in browser.text("#silence"))
    assert gateway.status()["name"] in browser.text("h1")  # what was heard last is still there


def test_colours_follow_the_system_and_then_the_choice(browser: Browser, gateway: RunningGateway) -> None:
    browser.open(page(gateway))
    light = browser.colour("body")
    assert min(light) > 200
    browser.prefer("dark")
    dark = browser.colour("body")
    assert max(dark) < 60
    browser.click("#theme")
    assert browser.colour("body") == light
    browser.open(page(gateway))
    assert browser.colour("body") == light  # the choice is kept
    browser.click("#theme")
    assert browser.colour("body") == dark


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(browser: Browser, gateway: RunningGateway, colours: str) -> None:
    browser.prefer(colours)
    browser.open(page(gateway))
    for selector, behind in ((".pill.good", ".pill.good"), (".facts dt", ".top"), ("thead th", ".service")):
        assert contrast(browser.colour(selector, "color"), browser.colour(behind)) >= 4.5, selector


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out_at_the_side(browser: Browser, gateway: RunningGateway, width: int) -> None:
    browser.resize(width, 844)
    for path in ("", f"?service={gateway.status()['services'][0]['name']}"):
        browser.open(page(gateway) + path)
        assert browser.run("return document.documentElement.scrollWidth") == width


def test_everything_comes_from_the_gateway_and_the_policy_is_kept(browser: Browser, gateway: RunningGateway) -> None:
    browser.complaints(), browser.requests()
    browser.open(page(gateway))
    seen: set[str] = set()

    def has_looked_again() -> bool:
        seen.update(browser.requests())
        return any(url.endswith("/live") for url in seen)

    browser.wait(has_looked_again)
    browser.run("fetch('https://example.com/').catch(() => {})")  # what the policy is for
    browser.wait(lambda: any("Content Security Policy" in each for each in browser.complaints()))
    assert {url for url in seen if not url.startswith((page(gateway), "data:"))} == set()
    browser.open(page(gateway))
    assert browser.complaints() == []


def test_a_page_that_may_only_show_offers_nothing_else(browser: Browser, gateway: RunningGateway) -> None:
    browser.open(page(gateway))
    assert browser.count("button") == 2  # pause and colours
    assert browser.count("[data-operation]") == 0


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of two colours, WCAG 2.2."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
