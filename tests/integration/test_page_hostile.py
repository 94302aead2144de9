"""Names come from Consul, so from people who are not the operator: in the page they are text, whatever they say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from discovery.model import Origin, OriginKind, Problem
from gateway.admin.facts import Access, ServiceFacts, TransitionFacts
from tests.browser import open_browser
from tests.unit.fake_gateway import STARTED, FakeFacade, instance, make_facts, route, served

SCRIPT = "<script>window.isOwned = true</script>"
IMAGE = '"><img src=x onerror="window.isOwned = true">'
LINK = "javascript:window.isOwned=true//' onclick='window.isOwned=true"
TEMPLATE = "{{ 7 * 191 }}{% raw %}"
TURNED = "safe\u202etxt.exe\x1b[31m"


def hostile() -> FakeFacade:
    past = (TransitionFacts(STARTED, IMAGE, SCRIPT, LINK, IMAGE, SCRIPT),)
    facts = make_facts()
    services = tuple(
        ServiceFacts(
            name, IMAGE, SCRIPT, LINK, (instance("10.0.0.1:1", cell, name=IMAGE, detail=SCRIPT, history=past),)
        )
        for cell, name in enumerate((SCRIPT, IMAGE, LINK, TEMPLATE, TURNED), start=1)
    )
    routes = tuple(route(f"/{each.name}", each.name, cell, host=IMAGE) for cell, each in enumerate(services, start=1))
    problem = Problem(Origin(OriginKind.TAG, SCRIPT), IMAGE)
    return FakeFacade(
        present=replace(facts, name=SCRIPT, config_file=IMAGE, services=services, routes=routes, problems=(problem,)),
        access=Access(write=True),
    )


def test_hostile_names_are_text() -> None:
    facade = hostile()
    with served(facade) as address, open_browser() as browser:
        browser.open(f"http://{address}/")
        looked = "return performance.getEntriesByType('resource').filter((each) => each.name.includes('/live')).length"
        browser.wait(lambda: browser.run(looked) >= 1)  # rendered once by the browser, once by the page's own script
        text = browser.text("body")
        for said in (SCRIPT, IMAGE, LINK, TEMPLATE):
            assert said in text
        assert "safe txt.exe [31m" in text  # what would turn the text around is gone
        assert "1337" not in text
        assert browser.run("return window.isOwned") is None
        assert browser.count("main img, main script, main [onclick], main [onerror]") == 0
        sources = browser.run("return [...document.scripts].map((each) => new URL(each.src).pathname)")
        assert sources == ["/assets/theme.js", "/assets/page.js"]
        links = browser.run("return [...document.links].map((each) => each.protocol)")
        assert set(links) == {"http:"}
        for name in (SCRIPT, IMAGE, LINK):
            browser.run("location.search = '?q=' + encodeURIComponent(arguments[0])", name)
            wanted = "return document.querySelector('#filter')?.value === arguments[0]"
            browser.wait(partial(browser.run, wanted, name))
            assert browser.run("return window.isOwned") is None
        browser.complaints()
        browser.click('article:nth-of-type(1) [data-operation="drain"]')
        browser.wait(lambda: any(each.drains for each in facade.present.services))  # the very name came back
