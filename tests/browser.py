"""A real Chromium for tests: headless, with a profile of its own, talking to loopback only.

    with open_browser() as browser:
        browser.open(f"http://{gateway.admin}/")
        browser.text("h1")

Without Chromium and its driver a test that needs them is skipped, or fails where CI is set; `make test` sees to it
that they are there.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@functools.cache
def chromium() -> tuple[str, str]:
    """The paths of Chromium and its driver. Skips the test without them; fails it where CI is set."""
    browsers = (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    driver = shutil.which(os.environ.get("CHROMEDRIVER", "chromedriver"))
    if browser is None or driver is None:
        sentence = "no chromium and chromedriver on PATH to test the page with: scripts/get_chromium.sh"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return browser, driver


class Browser:
    """One tab. Use `open_browser`."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def resize(self, width: int, height: int = 900) -> None:
        """The size of the page's window, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, colours: str) -> None:
        """What the system prefers: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": colours}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def switch_scripts(self, *, on: bool) -> None:
        """Whether pages opened from now on run JavaScript."""
        self._driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})

    def open(self, url: str) -> None:
        self._driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """What a function body returns, run in the page; also in a page that may not run scripts of its own."""
        return self._driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """What a person reads in the first element of a CSS selector; "" without one."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def count(self, selector: str) -> int:
        """How many elements of a CSS selector a person sees."""
        script = "return [...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility()).length"
        return int(self.run(script, selector))

    def colour(self, selector: str, what: str = "backgroundColor") -> tuple[int, ...]:
        """A computed colour as red, green, blue."""
        found = self.run("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, what)
        return tuple(int(part) for part in str(found).partition("(")[2].rstrip(")").split(",")[:3])

    def click(self, selector: str) -> None:
        self._driver.find_element("css selector", selector).click()

    def type(self, selector: str, text: str) -> None:
        self._driver.find_element("css selector", selector).send_keys(text)

    def wait(self, claim: Callable[[], object], deadline: float = 20.0) -> None:
        """Return once `claim()` is true; AssertionError with the page's text after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not claim():
            if time.monotonic() > end:
                raise AssertionError(f"not true within {deadline} s; the page says:\n{self.text('body')}")
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """What the console has said since the last call: errors, violations of the Content-Security-Policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> set[str]:
        """The URLs asked for since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]  # type: ignore[no-untyped-call]
        sent = (entry["params"] for entry in entries if entry["method"] == "Network.requestWillBeSent")
        return {each["request"]["url"] for each in sent}

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """The whole page as PNG, or its first `height` pixels."""
        whole = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": whole[0], "height": height or whole[1], "scale": 1}
        taken = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser of its own, 1280 by 900, light."""
    binary, driver_path = chromium()
    with tempfile.TemporaryDirectory(prefix="gw-chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(driver_path))
        try:
            browser = Browser(driver)
            browser.resize(1280)
            browser.prefer("light")
            yield browser
        finally:
            driver.quit()
