"""A built site as a reader's browser sees it: `make pages` has it look at the real one. What needs a browser is skipped
where there is no Chromium, unless the real site is to be looked at."""

import functools
import http.server
import json
import re
import shutil
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """The site that --site names, else that of a small house."""
    named = request.config.getoption("--site")
    return Path(named).resolve() if named else request.getfixturevalue("site")


@pytest.fixture(scope="module")
def address(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest):
    if CHROMIUM is None:
        if request.config.getoption("--site"):
            pytest.fail("no Chromium is installed: install it to look at the pages")
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Open pages with a width and a scheme; fails on console errors and on requests to other hosts."""
    contexts, faults = [], []

    def check(request):
        if not request.url.startswith((address, "data:", "blob:")):
            faults.append(f"request to {request.url}")

    def open_page(width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("request", check)
        page.on(
            "response", lambda answer: faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else 0
        )
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def paths(folder):
    """Every page of the site, as its path."""
    pages = (p.relative_to(folder).parent.as_posix() for p in sorted(folder.rglob("index.html")))
    return ["" if path == "." else f"{path}/" for path in pages]


def test_every_page_is_sound_on_a_phone_and_on_a_wide_screen(folder, address, open_page):
    """In both schemes; what is read most on the smallest phone, too."""
    page = open_page(1280)
    for path in paths(folder):
        page.set_viewport_size({"width": 1280, "height": 800})  # before it loads: a wider page is not laid out at once
        page.goto(address + path)
        small = path.startswith("posts/") or path in ("", "claims/")
        for width in (1280, 375, 360) if small else (1280, 375):
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                found = page.evaluate("document.documentElement.scrollWidth")
                assert found <= width, f"{path or 'the index'} scrolls sideways, {scheme}: {found} px"
        assert page.locator("h1").count() == 1, path


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_show_in_their_scheme(folder, address, open_page, width, scheme):
    page = open_page(width, scheme)
    posts = [path for path in paths(folder) if path.startswith("posts/")]
    assert posts
    for path in posts:
        page.goto(address + path, wait_until="load")
        shown = page.evaluate("""() => [...document.querySelectorAll('.figure img')].map(i => ({
            source: i.src, loaded: i.naturalWidth > 0, seen: i.offsetParent !== null, alt: i.alt}))""")
        assert shown, f"{path} has no figure"
        for image in shown:
            assert image["seen"] == image["source"].endswith(f"#only-{scheme}"), image
            assert image["loaded"] or not image["seen"], image
            assert image["alt"], image


def test_panels_stand_side_by_side_where_there_is_room(folder, address, open_page):
    def tops(width):
        page = open_page(width)
        page.goto(address + next(path for path in paths(folder) if path.startswith("posts/")))
        found = page.evaluate("""() => [...document.querySelector('article > .figure--pair').querySelectorAll('img')]
            .filter(i => i.offsetParent !== null).map(i => i.getBoundingClientRect().top)""")
        assert len(found) == 2
        return found

    wide, narrow = tops(1280), tops(375)
    assert wide[0] == wide[1]
    assert narrow[1] > narrow[0] + 100


def test_the_toggle_changes_figures(folder, address, open_page):
    page = open_page(1280, "light")
    page.goto(address + next(path for path in paths(folder) if path.startswith("posts/")))
    for _ in range(2):  # the system's colours, light, dark
        page.locator("label.md-header__button:visible[for^=__palette]").click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert page.locator(".figure img[src$='only-dark']").first.is_visible()
    assert not page.locator(".figure img[src$='only-light']").first.is_visible()


def test_search_finds_the_post(address, open_page):
    page = open_page()
    page.goto(address, wait_until="networkidle")  # the index is loaded, and the input is listened to
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("magic", delay=30)
    page.wait_for_selector(".md-search-result__link", timeout=20_000)
    assert any("posts/" in link.get_attribute("href") for link in page.locator(".md-search-result__link").all())


def test_what_is_searched_is_what_is_read(folder):
    """The index has the posts and the claims, and of the notebooks the list alone."""
    index = json.loads((folder / "search" / "search_index.json").read_text())
    places = {entry["location"].split("#")[0] for entry in index["docs"]}
    assert "claims/" in places
    assert any(place.startswith("posts/") for place in places)
    assert {place for place in places if place.startswith("notebooks/")} == {"notebooks/"}


def test_links_lead_somewhere(folder):
    """Every relative link and anchor of every page."""
    for path in paths(folder):
        text = (folder / path / "index.html").read_text()
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            target = urllib.parse.urlsplit(link)
            if target.scheme or target.netloc or link.startswith("#"):
                continue
            file = (folder / path / urllib.parse.unquote(target.path)).resolve()
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{path}: {link}"
            if target.fragment and file.suffix == ".html":
                assert f'id="{target.fragment}"' in file.read_text() or target.fragment.startswith("__"), (
                    f"{path}: {link}"
                )


def test_the_feed_parses_and_its_links_resolve(folder):
    items = list(ET.parse(folder / "feed_rss_created.xml").iter("item"))
    assert items
    for item in items:
        path = urllib.parse.urlsplit(item.findtext("link")).path
        assert (folder / path.strip("/") / "index.html").is_file()
        assert item.findtext("description")
        assert "01 Jan 1970" not in item.findtext("pubDate")


def test_no_markdown_is_left(folder):
    """What an extension did not take up would be invalid HTML, which browsers mend in their own ways."""
    for file in folder.rglob("*.html"):
        assert ' markdown="' not in file.read_text(), file


def test_pages_ask_no_other_host(folder):
    """Nothing that a browser would fetch by itself names another host."""
    for file in [*folder.rglob("*.html"), *folder.rglob("*.css")]:
        found = re.findall(
            r'<(?:script|img|iframe|source)[^>]+src="(https?:)?//|<link[^>]+rel="(?:stylesheet|preconnect|'
            r'icon)"[^>]*href="(https?:)?//|url\(["\']?(https?:)?//|@import',
            file.read_text(),
        )
        assert not found, file
