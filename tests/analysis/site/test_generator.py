import hashlib
import xml.etree.ElementTree as ET

import pytest

from analysis.site import generator, weave
from runner.errors import UserError


def digest(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_site_is_built_once_and_to_the_same_bytes(house):
    house.site.mkdir()
    (house.site / ".gitignore").write_text("*\n")
    woven = weave.weave(house)
    assert generator.build(house, woven.newest) is True
    first = digest(house.site)
    assert {
        ".gitignore",
        "index.html",
        "feed_rss_created.xml",
        "claims/index.html",
        "posts/is-4-the-magic-number/index.html",
        "assets/house.css",
    } <= set(first)
    assert generator.build(house, woven.newest) is False
    (house.root / "build" / generator.STAMP).unlink()
    assert generator.build(house, woven.newest) is True
    assert digest(house.site) == first
    feed = ET.parse(house.site / "feed_rss_created.xml")
    assert [item.findtext("title") for item in feed.iter("item")] == ["Is 4 the magic number in language models?"]


def test_each_source_counts(house):
    weave.weave(house)
    seen = {generator.fingerprint(house)}
    for path in (house.docs / "index.md", house.root / "mkdocs.yml", house.root / "theme" / "main.html"):
        path.write_text(path.read_text() + "\n")
        seen.add(generator.fingerprint(house))
    assert len(seen) == 4


def test_a_link_to_nowhere_stops_the_build_and_leaves_the_old_site(house):
    house.site.mkdir()
    (house.site / "index.html").write_text("old")
    about = house.posts / "about.md"
    about.write_text(about.read_text() + "\n[nowhere](nowhere.md)\n")
    woven = weave.weave(house)
    with pytest.raises(UserError, match=r"does not build:(.|\n)*nowhere.md"):
        generator.build(house, woven.newest)
    assert (house.site / "index.html").read_text() == "old"


def test_the_name_comes_from_the_settings(house):
    assert generator.title(house) == ("The magic number", "Research you can doubt, download and rerun.")
