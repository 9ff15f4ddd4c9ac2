"""Look at the built site as a reader does, in a real browser: python docs/browse.py docs/_build

Every link and every anchor leads somewhere, every picture has a text, nothing is fetched from
elsewhere, the console is silent, no page is wider than a phone, the search finds the protocol's
page, and from the start page to a solved table of one's own it takes at most three clicks. Exit
status 1 with every fault named.
"""

from __future__ import annotations

import functools
import sys
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

PHONE, DESK = 390, 1280
SKIPPED = ("genindex.html", "search.html", "py-modindex.html")


class Page(HTMLParser):
    """Links, anchors and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.silent: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if name := found.get("id"):
            self.anchors.add(name)
        if tag == "a" and (link := found.get("href")):
            self.links.append(link)
        if tag == "img" and not (found.get("alt") or "").strip():
            self.silent.append(found.get("src") or "?")


def read(site: Path) -> dict[str, Page]:
    """Every page of the site by its path."""
    return {
        place.relative_to(site).as_posix(): Page(place.read_text("utf-8"))
        for place in sorted(site.rglob("*.html"))
        if "_static" not in place.parts
    }


def dead(site: Path, pages: dict[str, Page]) -> list[str]:
    """Links that lead nowhere, and pictures without a text."""
    faults = []
    for name, page in pages.items():
        faults += [f"{name}: the picture {one} has no text" for one in page.silent]
        for link in page.links:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, anchor = urldefrag(link)
            place = unquote(urlsplit(urljoin(name, target)).path if target else name)
            if place in pages:
                if anchor and unquote(anchor) not in pages[place].anchors:
                    faults.append(f"{name}: {link} has no such anchor")
            elif not (site / place).is_file():
                faults.append(f"{name}: {link} is not there")
    return faults


class Quiet(SimpleHTTPRequestHandler):
    """Serves without a word."""

    def log_message(self, *words: object) -> None:
        """Nothing is logged."""


def browse(site: Path, pages: dict[str, Page]) -> list[str]:
    """What a reader would stumble over."""
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_address[1]}/"
    faults: list[str] = []
    chromium = next(
        (at for at in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(at).exists()), None
    )
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for width, scheme in ((DESK, "light"), (PHONE, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            tab = context.new_page()
            listen(tab, home, faults)
            for name in pages:
                tab.goto(home + name, wait_until="load")
                wide = tab.evaluate("document.documentElement.scrollWidth")
                if wide > width and name not in SKIPPED:
                    faults.append(f"{name}: {wide} pixels wide where the window has {width}")
            if width == DESK:
                faults += searched(tab, home) + clicked(tab, home)
            context.close()
        browser.close()
    server.shutdown()
    return faults


def listen(tab, home: str, faults: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Note what the console says and what is fetched from elsewhere."""

    def console(said) -> None:  # type: ignore[no-untyped-def]
        if said.type == "error":
            faults.append(f"console: {said.text}")

    def request(asked) -> None:  # type: ignore[no-untyped-def]
        if not asked.url.startswith((home, "data:", "blob:")):
            faults.append(f"fetched from elsewhere: {asked.url}")

    tab.on("console", console)
    tab.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    tab.on("request", request)


def searched(tab, home: str) -> list[str]:  # type: ignore[no-untyped-def]
    """From "small-first" in the search box to the protocol's page."""
    tab.goto(home)
    tab.fill("input[name=q]", "small-first")
    tab.press("input[name=q]", "Enter")
    tab.wait_for_selector("#search-results li a")
    tab.wait_for_timeout(500)
    found = tab.eval_on_selector_all(
        "#search-results li > a", "all => all.slice(0, 5).map(one => one.getAttribute('href'))"
    )
    wanted = ("withdrawal.html", "sequential.html", "explanation/games.html")
    if not any(urldefrag(urlsplit(link).path)[0].endswith(wanted) for link in found):
        return [f"the search for small-first begins with {found}"]
    return []


def clicked(tab, home: str) -> list[str]:  # type: ignore[no-untyped-def]
    """From the start page to a solved table of one's own."""
    tab.goto(home)
    tab.click("text=I have a spreadsheet", force=True)
    text = tab.inner_text("article, main, body")
    if "mechopt solve users.csv --threshold" not in text:
        return ["one click from the start page nobody says how to solve one's own table"]
    return []


def main() -> int:
    """Name every fault."""
    site = Path(sys.argv[1]).resolve()
    pages = read(site)
    faults = dead(site, pages) + browse(site, pages)
    for fault in dict.fromkeys(faults):
        print(fault)
    links = sum(len(page.links) for page in pages.values())
    print(f"{len(pages)} pages, {links} links: {len(set(faults))} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
