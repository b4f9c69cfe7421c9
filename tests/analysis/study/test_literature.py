"""What others published, as data."""

from analysis.study.literature import FINDINGS, MODELS


def test_findings_say_where_they_stand():
    for one in FINDINGS:
        assert one.link.startswith("https://"), one.study
        assert one.where, one.study
        assert one.ratios is None or 0 < one.ratios[0] <= one.ratios[1], one.study
    assert len({one.study for one in FINDINGS}) == len(FINDINGS)


def test_published_ratios_are_those_of_their_widths():
    assert {m.model: m.ratio for m in MODELS}["LLaMA 7B"] == 11008 / 4096
