import pytest

from analysis.build.project import Project
from analysis.site import references, weave
from runner.errors import UserError
from tests.analysis import fake

SLUG = "is-4-the-magic-number"


def load(tmp_path, source):
    path = tmp_path / "references.bib"
    path.write_text(source)
    return references.load(path, "references.bib")


def test_entries_keep_their_order_and_lose_their_latex(tmp_path):
    found = load(tmp_path, fake.REFERENCES)
    assert list(found) == ["vaswani2017", "shazeer2020"]
    first, second = found.values()
    assert (first.label, first.names) == ("Vaswani et al. 2017", "Ashish Vaswani, Noam Shazeer et al.")
    assert (first.url, first.starred, first.stated) == ("https://arxiv.org/abs/1706.03762", True, "")
    assert (second.title, second.venue, second.url) == ("GLU Variants & more", "A journal 3", "")
    assert (second.starred, second.stated, second.year) == (False, "2021", 2020)


@pytest.mark.parametrize(
    ("authors", "label", "names"),
    [
        ("Shazeer, Noam", "Shazeer 2017", "Noam Shazeer"),
        ("Wu, Yuxin and Johnson, Justin", "Wu and Johnson 2017", "Yuxin Wu and Justin Johnson"),
        ("van den Oord, A. and Zen, H. and Le, Q.", "van den Oord et al. 2017", "A. van den Oord, H. Zen and Q. Le"),
        ("Yu, Lili and others", "Yu et al. 2017", "Lili Yu et al."),
        ("{Meta AI}", "Meta AI 2017", "Meta AI"),
    ],
)  # fmt: skip
def test_a_label_names_as_many_authors_as_is_usual(tmp_path, authors, label, names):
    source = fake.REFERENCES.replace("Vaswani, Ashish and Shazeer, Noam and others", authors)
    found = load(tmp_path, source)["vaswani2017"]
    assert (found.label, found.names) == (label, names)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("shazeer2020", "vaswani2017", 12, "Duplicate entry key 'vaswani2017'"),
        ("{vaswani2017,", "{vaswani2017", 1, "Expected comma after entry key"),
        ("  year    = {2017},", "", 1, "vaswani2017: year is missing"),
        ("year    = {2017}", "year    = {in 2017}", 1, "vaswani2017: year 'in 2017' must be four digits"),
        ("starred", "stared", 1, "vaswani2017: unknown field stared; known: .*closest: starred"),
        ("vaswani2017", "attention", 1, "attention: a key is a family name and a year, such as vaswani2017"),
        ("starred = {yes}", "url = {https://x}", 1, "vaswani2017: give eprint or url, not both"),
    ],
)
def test_a_faulty_entry_is_refused_with_its_line(tmp_path, old, new, line, said):
    assert old in fake.REFERENCES
    with pytest.raises(UserError, match=f"^references.bib:{line}: {said}"):
        load(tmp_path, fake.REFERENCES.replace(old, new, 1))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^references\.bib is missing: restore it$"):
        references.load(tmp_path / "references.bib", "references.bib")


def test_the_project_lists_what_the_source_lists():
    found = references.load(Project(fake.REPOSITORY).references, "references.bib")
    ours = [one for one in found.values() if one.group == "Also cited here"]
    assert len(found) - len(ours) >= 34
    assert sum(one.starred for one in found.values()) == 6
    assert not [one.key for one in found.values() if str(one.year) not in one.key]
    assert {"hendrycks2016": 2016, "su2021": 2021}.items() <= {key: one.year for key, one in found.items()}.items()


def test_a_post_cites_by_name_and_the_page_says_where(house):
    path = house.posts / SLUG / "index.md"
    path.write_text(path.read_text() + '\nAfter {{ cite("vaswani2017") }}, {{ cite("vaswani2017") }}.\n')
    weave.weave(house)
    woven = (house.docs / "posts" / SLUG / "index.md").read_text()
    link = "[Vaswani\u00a0et\u00a0al.\u00a02017](../../references.md#vaswani2017)"
    assert f"After {link}, {link}." in woven
    page = (house.docs / "references.md").read_text()
    first, second = page.split('<div class="reference"')[1:]
    assert page.index("## Transformer") < page.index("## Activations")
    assert 'id="vaswani2017"' in first
    assert "[Attention Is All You Need](https://arxiv.org/abs/1706.03762). ★" in first
    assert f"**Cited in** [Is 4 the magic number in language models?](posts/{SLUG}/index.md)." in first
    assert "*GLU Variants &amp; more*. A journal 3.\n" in second
    assert "**Checked.** No copy was found. **The list gives** 2021." in second
    assert "Cited in" not in second
    assert (house.docs / "references.bib").read_text() == fake.REFERENCES


def test_an_unknown_reference_stops_the_build_with_its_line(house):
    path = house.posts / SLUG / "index.md"
    path.write_text(path.read_text() + '\n{{ cite("vaswani2018") }}\n')
    line = len(path.read_text().splitlines())
    said = r"unknown reference 'vaswani2018'; known: shazeer2020, vaswani2017 \(closest: vaswani2017\)"
    with pytest.raises(UserError, match=f"^posts/{SLUG}/index.md:{line}: {said}$"):
        weave.weave(house)
