import json
import os
import shutil

import pytest

from analysis.build import execute
from analysis.site import pages, weave
from runner.errors import UserError
from tests.analysis import fake

SLUG = "is-4-the-magic-number"


def snapshot(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_pages_are_written(house):
    woven = weave.weave(house)
    pages = snapshot(house.docs)
    assert [one.slug for one in woven.posts] == [SLUG]
    assert {
        "index.md",
        "claims.md",
        "about.md",
        "tags.md",
        "evidence/index.md",
        "evidence/mlp-ratio/laptop/index.md",
        "evidence/mlp-ratio/laptop/r4-s0/metrics.parquet",
        "notebooks/mlp-ratio.md",
        "notebooks/mlp-ratio.py",
        "figures/mlp-ratio/laptop/loss-2-dark.svg",
        f"posts/{SLUG}/index.md",
    } <= set(pages)
    post = pages[f"posts/{SLUG}/index.md"].decode()
    assert "The best ratio is 5, at 1.471\u00a0nats, of 1,003,854 tokens." in post
    assert "It is supported." in post
    assert 'cost = "$5"' in post
    assert f"posts/{SLUG}/index.md#claim-s0-4" in pages["claims.md"].decode()
    source = (house.logs / "mlp-ratio/laptop/r4-s0/metrics.parquet").read_bytes()
    assert pages["evidence/mlp-ratio/laptop/r4-s0/metrics.parquet"] == source
    assert "baselines" not in pages["evidence/mlp-ratio/laptop/index.md"].decode()


def test_baselines_can_be_taken_from_the_page_of_the_evidence(house):
    (house.logs / "mlp-ratio/laptop/baselines.json").write_text("{}")
    execute.execute(execute.plan(house, "mlp-ratio", house.logs), house)
    weave.weave(house)
    pages = snapshot(house.docs)
    assert "[baselines](baselines.json)" in pages["evidence/mlp-ratio/laptop/index.md"].decode()
    assert pages["evidence/mlp-ratio/laptop/baselines.json"] == b"{}"


def test_a_replication_stands_beside_the_published_evidence(house, monkeypatch):
    """Its verdicts are listed by machine, its logs can be taken, and its results may not be older than they are."""
    shutil.copytree(house.logs, house.replications / "other-kind")
    with pytest.raises(UserError, match=r"^replications/other-kind: the results of mlp-ratio from it are stale"):
        weave.weave(house)
    (plan,) = execute.replications(house, "mlp-ratio", ["laptop"])["other-kind"]
    shutil.copytree(house.results / "mlp-ratio" / "laptop", plan.output)
    path = plan.output / "results.json"
    results = json.loads(path.read_text())
    results["claims"]["S0-4"]["verdict"] = "inconclusive"
    results["provenance"]["mlp-ratio"]["machines"] = ["Another machine"]
    path.write_text(json.dumps(results))
    execute.write_record(plan, house, plan.output)
    assert execute.replications(house, "mlp-ratio", ["smoke"]) == {}, "beside results of another size it tells nothing"
    weave.weave(house)
    pages = snapshot(house.docs)
    ledger = pages["claims.md"].decode()
    assert "| laptop | Another machine (cpu, fp32) | inconclusive |" in ledger
    assert "It comes out otherwise on another kind of machine" in ledger
    assert "It is supported." not in pages[f"posts/{SLUG}/index.md"].decode()
    proof = "evidence/replications/other-kind/mlp-ratio/laptop"
    assert pages[f"{proof}/r4-s0/metrics.parquet"] == pages["evidence/mlp-ratio/laptop/r4-s0/metrics.parquet"]
    assert "[Evidence](../../../../index.md)" in pages[f"{proof}/index.md"].decode()
    assert "[laptop](replications/other-kind/mlp-ratio/laptop/index.md)" in pages["evidence/index.md"].decode()


def test_the_page_of_claims_shows_how_a_verdict_changed(house):
    path = house.root / "analysis/ledger.toml"
    told = (
        '\n[[claim.history]]\ndate = 2026-11-24\nwas = "supported"\nnow = "not tested"\nwhy = "the runs are too few"\n'
    )
    path.write_text(path.read_text() + told)
    weave.weave(house)
    page = (house.docs / "claims.md").read_text()
    assert "with the result known: supported → not tested. The runs are too few." in page


def test_the_page_of_claims_has_the_rules_and_marks_what_is_ours(house):
    path = house.root / "analysis/ledger.toml"
    ledger = path.read_text()
    path.write_text(ledger.replace('notebook = "mlp-ratio"', 'notebook = "mlp-ratio"\nours = "nobody asked"', 1))
    weave.weave(house)
    page = (house.docs / "claims.md").read_text()
    assert "**A claim of ours.** Nobody asked." in page
    assert "(ours)" in page
    assert "**Rule.** " in page


def test_a_rule_names_its_bars():
    def measured(name, bar, log2=False, of="seed"):
        return {"name": name, "wanted": "below", "bar": bar, "log2": log2, "of": of}

    assert pages._bars([measured("a", 0.02), measured("b", 0.02)]) == " The wanted side is below 0.02."
    told = pages._bars([measured("a", 1.0, log2=True), measured("b", 0.0), measured("c", 9, of=None)])
    assert told == " Wanted: a: below a factor of 2; b: below 0."
    assert pages._bars([measured("c", 9, of=None)]) == ""


def test_only_what_changed_is_written(house):
    weave.weave(house)
    times = {p: p.stat().st_mtime_ns for p in house.docs.rglob("*") if p.is_file()}
    again = weave.weave(house)
    assert (again.changed, again.removed) == (0, 0)
    assert times == {p: p.stat().st_mtime_ns for p in times}
    (house.docs / "stray" / "deep").mkdir(parents=True)
    (house.docs / "stray" / "deep" / "old.md").write_text("gone")
    assert weave.weave(house).removed == 1
    assert not (house.docs / "stray").exists()


@pytest.mark.parametrize("linked", [True, False])
def test_a_file_is_there_whether_it_can_be_linked_or_not(tmp_path, monkeypatch, linked):
    def refused(source, target):
        raise OSError("another file system")

    if not linked:
        monkeypatch.setattr("os.link", refused)
    source, docs, target = (
        tmp_path / "metrics.parquet",
        tmp_path / "docs",
        tmp_path / "docs" / "run" / "metrics.parquet",
    )
    source.write_bytes(b"numbers")
    files = {"run/metrics.parquet": source}
    assert weave.sync(docs, files) == (1, 0)
    assert (target.read_bytes(), os.path.samefile(source, target)) == (b"numbers", linked)
    assert weave.sync(docs, files) == (0, 0)
    (tmp_path / "other").write_bytes(b"another")
    (tmp_path / "other").replace(source)  # as all evidence is written
    assert target.read_bytes() == b"numbers", "what is woven stays until it is woven again"
    assert weave.sync(docs, files) == (1, 0)
    assert target.read_bytes() == b"another"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("add", "said"),
    [
        ('{{ number("nope") }}', "unknown number 'nope'; known: bar, best-loss, best-ratio, tokens"),
        ("{{ nope }}", "unknown name 'nope'"),
        ("{% endif %}", "Encountered unknown tag 'endif'"),
    ],
)
def test_a_fault_leaves_nothing_half_written(house, add, said):
    weave.weave(house)
    before = snapshot(house.docs)
    path = house.posts / SLUG / "index.md"
    path.write_text(path.read_text().replace("The best ratio", "A better ratio") + f"\n{add}\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(UserError) as raised:
        weave.weave(house)
    assert str(raised.value).startswith(f"posts/{SLUG}/index.md:{line}: {said}")
    assert snapshot(house.docs) == before


def test_stale_results_are_refused(house):
    fake.write_run(house.logs, 4, 0, shift=0.01)
    with pytest.raises(
        UserError,
        match=rf"^posts/{SLUG}/index.md:7: the results of mlp-ratio are stale "
        r"\(logs changed: r4-s0\); make them with: analysis execute mlp-ratio$",
    ):
        weave.weave(house)
    assert not house.docs.exists()


def test_results_that_are_not_there_are_stale(bare):
    with pytest.raises(UserError, match=r"stale \(not executed yet\)"):
        weave.weave(bare)


def test_drafts_are_checked_but_not_shown(house):
    path = house.posts / "a-draft" / "index.md"
    path.parent.mkdir()
    path.write_text(fake.POST.replace("post_published: true", "post_published: false").replace("Is 4", "A draft, is 4"))
    assert [one.slug for one in weave.weave(house).posts] == [SLUG]
    assert "A draft" not in (house.docs / "index.md").read_text() + (house.docs / "claims.md").read_text()
    assert {one.slug for one in weave.weave(house, drafts=True).posts} == {SLUG, "a-draft"}
    assert '<span class="draft">draft</span>' in (house.docs / "index.md").read_text()
    path.write_text(path.read_text() + "{{ nope }}\n")
    with pytest.raises(UserError, match="a-draft/index"):
        weave.weave(house)


def test_a_folder_that_cannot_be_an_address_is_refused(house):
    (house.posts / SLUG).rename(house.posts / "Is_4")
    with pytest.raises(UserError, match="lower-case words joined by hyphens"):
        weave.weave(house)


def test_damaged_results_are_named(house):
    path = house.results / "mlp-ratio" / "laptop" / "results.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match=r"build/analysis/mlp-ratio/laptop/results.json: .* --force"):
        weave.weave(house)


def test_figures_that_a_post_shows_are_there(house):
    weave.weave(house)
    figures = json.loads((house.results / "mlp-ratio" / "laptop" / "results.json").read_text())["figures"]
    for name, figure in figures.items():
        for k in range(1, len(figure["panels"]) + 1):
            for scheme in ("light", "dark"):
                assert (house.docs / "figures" / "mlp-ratio" / "laptop" / f"{name}-{k}-{scheme}.svg").is_file()


def test_two_sizes_in_one_post(two_sizes):
    path = two_sizes.posts / SLUG / "index.md"
    path.write_text(
        path.read_text()
        + '{% if published("mlp-ratio", "paper") %}Small: {{ number("best-loss", profile="laptop") }}.{% endif %}\n'
        + '{{ figure("loss", profile="laptop") }}\n{{ figure("loss", notebook="mlp-ratio") }}\n'
        + '{{ claim("S0-4", brief=true, profile="laptop") }} ({{ profile }})\n'
    )
    weave.weave(two_sizes)
    pages = snapshot(two_sizes.docs)
    post = pages[f"posts/{SLUG}/index.md"].decode()
    assert "at 0.971\u00a0nats, of" in post
    assert "Small: 1.471\u00a0nats." in post
    assert "inconclusive" in post
    assert "(paper)" in post
    assert 'id="figure-loss"' in post
    assert 'id="figure-loss-laptop"' in post
    assert post.count('id="figure-loss"') == post.count('id="figure-loss-mlp-ratio"') == 1, "two have one name"
    for profile in ("paper", "laptop"):
        assert f"../../figures/mlp-ratio/{profile}/loss-1-light.svg" in post
        assert f"figures/mlp-ratio/{profile}/loss-1-light.svg" in pages
        assert f"(../../evidence/mlp-ratio/{profile}/index.md)" in post
        assert f"evidence/mlp-ratio/{profile}/r4-s0/metrics.parquet" in pages
    ledger = pages["claims.md"].decode()
    assert "**Why.** Two seeds." in ledger
    assert "**In the laptop profile.** Supported." in ledger


def test_each_size_must_be_fresh(two_sizes):
    fake.write_run(two_sizes.logs, 4, 1, "paper")
    with pytest.raises(UserError, match=r"mlp-ratio are stale \(logs changed: r4-s1\)"):
        weave.weave(two_sizes)
