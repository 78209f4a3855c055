"""The page in a real browser, started once: it is shown right, can be used in every way, and refreshes itself."""

from __future__ import annotations

import shutil
import socket
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from tests.api.test_listener import activated, ask
from tests.rig.browser import PROGRAM, Tab, browsing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import DoWithout, Eventually, Site

HOSTILE = '"><img src=x onerror=alert(1)>'
PATHS = ("/", "/hosts/refused", "/hosts/*", "/silences", "/wall", "/?host=none", "/nothing")
SIZES = ((1600, False, PATHS[:5]), (360, True, PATHS[:2]))
"""Width, whether the system is dark, and the pages that are looked at by axe, which takes long."""
AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_FINDINGS = """
axe.run(document, {resultTypes: ["violations"]}).then(
  found => found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(" ")}`))
"""
_SHOWN = """
new Promise(done => {
  const look = () => { if (document.querySelector("main").textContent.includes(%r)) done(true); };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
  look();
})
"""

_SAID = """
new Promise(done => {
  const note = document.querySelector("#lost");
  const look = () => { if (note.textContent.includes(%r)) done(true); };
  new MutationObserver(look).observe(note, {childList: true, subtree: true, characterData: true});
  look();
})
"""


@pytest.fixture(scope="module")
def site(make_site: Callable[[Path], Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A receiver with something of everything, and a host with a hostile name."""
    site = make_site(tmp_path_factory.mktemp("site"))
    site.configure('hosts.expected = ["absent"]')
    site.show_all_symptoms()
    site.upload(HOSTILE, "x" * 128, minutes_ago=50)
    site.sync_journal()
    return site


@pytest.fixture(scope="module")
def address(site: Site, eventually: Eventually) -> Iterator[str]:
    """The URL of the page of a real service."""
    with socket.create_server(("127.0.0.1", 0)) as listening, activated(site, listening):
        port = listening.getsockname()[1]
        eventually(lambda: ask(port, "GET", "/healthz")[0] == 200, "the first evaluation")
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def tab(do_without: DoWithout) -> Iterator[Tab]:
    """A tab of the only browser."""
    if shutil.which(PROGRAM) is None:
        do_without(f"there is no {PROGRAM}; packaging/bootstrap.sh installs it")
    with browsing() as tab:
        yield tab


@pytest.mark.parametrize(("width", "is_dark", "examined"), SIZES)
def test_every_page_is_shown(tab: Tab, address: str, width: int, *, is_dark: bool, examined: tuple[str, ...]) -> None:
    """Nothing violates the page's policy, is outside the screen, or fails the rules of axe."""
    tab.size(width, 900, is_dark=is_dark)
    complaints, widths, obstacles = {}, {}, {}
    for path in PATHS:
        tab.open(address + path)
        complaints[path] = [one for one in tab.complaints() if path != "/nothing"]
        widths[path] = tab.evaluate("document.documentElement.scrollWidth")
        if path in examined:
            tab.evaluate(f"{AXE}; 0")
            obstacles[path] = tab.evaluate(_FINDINGS)

    assert {path: found for path, found in complaints.items() if found} == {}
    assert widths == dict.fromkeys(PATHS, width)
    assert {path: found for path, found in obstacles.items() if found} == {}
    assert obstacles.keys() == set(examined)


def test_a_hostile_name_is_text(tab: Tab, address: str) -> None:
    """It creates no element, and a link leads to its page."""
    tab.open(f"{address}/?host=*onerror*")
    images = tab.evaluate("document.images.length")
    tab.evaluate("document.querySelector('.hosts tbody a').click()")
    tab.until("Page.loadEventFired")

    assert images == 0
    assert tab.evaluate("document.querySelector('h1').textContent").startswith("%22%3E%3Cimg")


def test_the_page_works_by_keyboard(tab: Tab, address: str) -> None:
    """The first stop skips the header. Typing a filter and Enter changes the address."""
    tab.size(1600, 900)
    tab.open(address)
    tab.press("Tab")
    first = tab.evaluate("document.activeElement.getAttribute('href')")
    tab.evaluate("document.querySelector('#filter-host').focus()")
    tab.call("Input.insertText", text="re* absent")
    tab.press("Enter", "\r")
    tab.until("Page.loadEventFired")

    assert first == "#main"
    assert tab.evaluate("location.search") == "?host=re*+absent"
    assert tab.evaluate("[...document.querySelectorAll('.hosts tbody a')].map(one => one.textContent)") == [
        "refused",
        "absent",
    ]


def test_the_page_updates_itself(tab: Tab, address: str, site: Site) -> None:
    """Without a reload: unfolded and focused elements stay so."""
    tab.open(address)
    tab.evaluate("window.isSame = true; document.querySelector('#filter-host').focus()")
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    opened = tab.evaluate("document.querySelectorAll('details[open]').length")
    site.answer("newcomer", 412, times=12)
    site.sync_journal()

    assert tab.evaluate(_SHOWN % "newcomer")
    assert tab.evaluate("window.isSame")
    assert tab.evaluate("document.activeElement.id") == "filter-host"
    assert opened == tab.evaluate("document.querySelectorAll('details[open]').length") > 0


def test_the_page_works_without_scripts(tab: Tab, address: str) -> None:
    """Hosts, incidents and sources are there, and the browser reloads the page."""
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(address, has_scripts=False)
        text = tab.evaluate("document.querySelector('main').innerText")
        refresh = tab.evaluate("document.querySelector('meta[http-equiv=refresh]').content")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)

    assert all(words in text for words in ("refused", "fatal-only", "What to do", "index following", "quiet"))
    assert refresh == "60"


def test_the_page_reports_that_the_service_does_not_respond(tab: Tab, address: str) -> None:
    """What it shows is marked as old."""
    tab.size(1600, 900)
    tab.open(address)
    tab.evaluate("window.fetch = () => Promise.reject(new TypeError()); 0")

    assert tab.evaluate(_SAID % "does not respond")
