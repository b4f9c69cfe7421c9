import json

import pytest

from analysis.site import post
from runner.errors import UserError
from runner.plan import experiment
from tests.analysis import fake

RESULTS = {
    "numbers": {
        "best-r": {"value": 3, "digits": 0, "unit": "", "interval": None, "reason": ""},
        "slower": {"value": -4.71, "digits": 1, "unit": "%", "interval": [-15.0, 5.58], "reason": ""},
        "gap": {"value": None, "digits": None, "unit": "", "interval": None, "reason": "one run <diverged>"},
    },
    "tables": {"ratios": {"caption": "", "columns": ["r"], "numeric": [True], "rows": [["1"]], "values": [[1]]}},
    "figures": {"loss": {"caption": "c", "experiment": None, "panels": [{"alt": "a", "width": 480, "height": 350}]}},
    "claims": {},
    "provenance": {
        "mlp-ratio": {
            "profile": "laptop",
            "runs": [{"name": "r1-s0", "seed": 0, "status": "diverged", "identity": "x"}],
            "seeds": [0],
            "commits": ["abc"],
            "machines": ["a machine"],
            "devices": ["cpu"],
            "precisions": ["fp32"],
            "corpora": ["t"],
        }
    },
}
SOURCES = post.Sources(
    {"mlp-ratio": {"laptop": RESULTS}},
    {"S0-4": {"laptop": {"verdict": "supported", "effect": 1, "n": 3}}},
    {"S0-4": "Wider is faster."},
)
FRONT = fake.POST.split("---\n")[1]
FIRST = FRONT.count("\n") + 3  # the line of the file on which a body begins


def load(tmp_path, body="", front=FRONT):
    path = tmp_path / "a-post" / "index.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"---\n{front}---\n{body}")
    return post.load(path, "posts/a-post/index.md")


def render(tmp_path, body):
    return post.render(load(tmp_path, body), SOURCES)


def test_front_matter(tmp_path):
    one = load(tmp_path)
    assert (one.slug, str(one.date), one.emoji, one.published) == ("a-post", "2025-02-05", "🧠", True)
    assert (one.notebooks, one.tags) == (["mlp-ratio"], ["transformers", "width"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("date: 2025/02/05", "date: soon", r"index.md:3: date 'soon' must look like 2026-11-24"),
        ("summary:", "sumary:", r"index.md:5: unknown key sumary in the front matter; .*closest: summary"),
        ("emoji: 🧠\n", "", r"index.md:1: the front matter has no emoji"),
        ("date: 2025/02/05", "date: 2025-02-30", r"index.md:1: the front matter: day"),
        ("date: 2025/02/05", '"date": soon', r"index.md:1: date 'soon' must look like"),
        ("tags: [transformers, width]", "tags: 5", r"tags must be a name or a list of names, not 5"),
        ("notebook: mlp-ratio", "notebook: [3]", r"notebook must be a name or a list of names, not \[3\]"),
        ("post_published: true", "post_published: maybe", r"index.md:6: post_published must be true or false"),
        ("title: Is", "title: [Is", r"index.md:\d+: "),
    ],
)
def test_faulty_front_matter_is_refused_with_its_line(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said):
        load(tmp_path, front=FRONT.replace(old, new))


def test_results_come_in_by_name(tmp_path):
    made = render(
        tmp_path,
        'Best: {{ number("best-r") }} ({{ profile }}).\n\n{{ claim("S0-4") }}\n\n{{ claim("S0-4", brief=True) }}',
    )
    assert made.markdown.startswith('Best: 3 (laptop).\n\n<div class="claim-entry" markdown="1">\n\n[✓')
    assert made.markdown.count("#claim-s0-4") == made.markdown.count("Wider is faster.") == 1
    assert made.claims == ["S0-4"]


def test_two_profiles_are_compared_claim_by_claim(tmp_path):
    def told(verdict, scope):
        return {"verdict": verdict, "effect": 1, "n": 3, "scope": scope}

    words = ["supported", "one run disagrees", "refuted", "inconclusive", "not tested"]
    large = {f"S0-{i}": told(word, "source's size") for i, word in enumerate(words)}
    small = {f"S0-{i}": told("supported", "small scale") for i in range(len(words))} | {"S0-9": told("refuted", "")}
    both = {"paper": RESULTS | {"claims": large}, "laptop": RESULTS | {"claims": small}}
    sources = post.Sources({"mlp-ratio": both}, {}, {"S0-0": "Wider | faster."})
    table = post.render(load(tmp_path, '{{ agreement("paper", "laptop") }}'), sources).markdown
    head, _, *rows = [line.split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert head[1:3] == ["paper profile (source's size)", "laptop profile (small scale)"]
    assert [row[-1].removesuffix(" |") for row in rows] == [
        "yes",
        "**no**",
        "**no**",
        "one of them does not decide it",
        "tested in one of them",
    ]
    assert r"[S0-0](../../claims.md#s0-0) Wider \| faster." in rows[0][0]
    with pytest.raises(UserError, match="no claim has a verdict both in profile 'paper' and in profile 'smoke'"):
        post.render(load(tmp_path, '{{ agreement("paper", "smoke") }}'), sources)


def test_a_claim_of_several_parts_names_those_that_fail(tmp_path):
    parts = {"one": "refuted", "two": "supported", "three": "refuted", "four": "refuted"}
    entry = {"verdict": "refuted", "effect": 1, "n": 3, "parts": parts, "reason": "one: 1; " + "word " * 20}
    sources = post.Sources(SOURCES.results, {"S0-4": {"laptop": entry}}, {"S0-4": "Wider is faster."})
    body = '{{ parts("S0-4", "refuted") }}|{{ parts("S0-4", "inconclusive") }}\n\n{{ claim("S0-4") }}\n'
    made = post.render(load(tmp_path, body), sources).markdown
    assert made.startswith("one, three and four|\n")
    assert '<span class="effect">1, n\u00a0=\u00a03. Refuted: one, three, four; supported: two.</span>' in made
    assert "<details" in made, "the reason is long, and numbers stand for it"
    short = {"verdict": "refuted", "effect": 1, "n": 3, "reason": "it is so"}
    made = post.render(load(tmp_path, body), post.Sources(SOURCES.results, {"S0-4": {"laptop": short}}, {"S0-4": "x"}))
    assert "n\u00a0=\u00a03. It is so." in made.markdown
    assert "<details" not in made.markdown


def test_a_number_is_there_as_it_is_on_machines_of_other_kinds(tmp_path):
    other = json.loads(json.dumps(RESULTS))
    other["numbers"]["best-r"]["value"] = 2
    other["provenance"] = {"mlp-ratio": {"machines": ["Eniac"], "devices": ["cpu"], "precisions": ["float32"]}}
    sources = post.Sources(SOURCES.results, replicated={"old": {"mlp-ratio": {"laptop": other}}, "bare": {}})
    body = '{% for one in elsewhere("best-r") %}{{ one.machine }}: {{ one.value }}, {{ one.text }}{% endfor %}'
    assert post.render(load(tmp_path, body), sources).markdown.strip() == "Eniac (cpu, float32): 2, 2"


def test_a_claim_of_ours_says_so(tmp_path):
    entry = {"verdict": "supported", "effect": 1, "n": 3, "ours": True}
    sources = post.Sources(SOURCES.results, {"S0-4": {"laptop": entry}}, {"S0-4": "Wider is faster."})
    made = post.render(load(tmp_path, '{{ claim("S0-4", brief=true) }}'), sources).markdown
    assert "S0-4\u00a0(ours)\u00a0supported" in made


@pytest.mark.parametrize("larger", ["inconclusive", "supported"])
def test_a_larger_size_that_does_not_agree_stands_beside_the_verdict(tmp_path, larger):
    small = {"verdict": "supported", "effect": 1, "n": 3, "scope": "small scale"}
    large = {"verdict": larger, "effect": None, "n": None, "scope": "medium scale"}
    results = {"mlp-ratio": {"laptop": RESULTS | {"claims": {"S0-4": small}}}}
    sources = post.Sources(results, {"S0-4": {"paper": large, "laptop": small}}, {"S0-4": "Wider is faster."})
    for call in ('claim("S0-4", brief=true)', 'claim("S0-4")'):
        made = post.render(load(tmp_path, f"{{{{ {call} }}}}"), sources).markdown.replace("\u00a0", " ")
        assert "S0-4 supported · small scale" in made
        assert ("≈ inconclusive · medium scale" in made) == (larger == "inconclusive")
    made = post.render(load(tmp_path, '{{ claim("S0-4", profile="laptop") }}'), sources).markdown
    assert "medium" not in made, "a size that is asked for stands alone"


def test_runs_are_counted_once(tmp_path):
    assert render(tmp_path, "{{ runs() }}").markdown == "1\u00a0run"


def test_what_is_folded_is_not_read(tmp_path):
    words = "word " * 300
    figure = f'<figure class="figure"><details>{words}</details>{words}</figure>'
    folded = f'a\n\n{{% call fold("more") %}}\n{words}\n\n{figure}\n\n{words}\n{{% endcall %}}\n'
    made = render(tmp_path, folded)
    assert made.minutes == 1
    assert made.markdown.startswith('a\n\n\n<details class="note" markdown="1">\n<summary>more</summary>\n\nword word')
    assert render(tmp_path, folded + words).minutes == 2


def test_conditions_see_values(tmp_path):
    body = '{% if value("best-r") < 4 and verdict("S0-4") == "supported" and not has("gap") %}yes{% endif %}'
    assert render(tmp_path, body).markdown == "yes"


def test_a_number_can_bring_its_interval(tmp_path):
    assert render(tmp_path, '{{ number("slower") }}').markdown == "−4.7%"
    shown = "−4.7% (95%\u00a0interval −15.0 to 5.6)"
    assert render(tmp_path, '{{ number("slower", interval=true) }}').markdown == shown
    assert render(tmp_path, '{{ number("best-r", interval=true) }}').markdown == "3", "one seed has none"


def test_a_missing_number_says_why(tmp_path):
    assert 'title="one run &lt;diverged&gt;"' in render(tmp_path, '{{ number("gap") }}').markdown


def test_a_figure_has_both_schemes_and_its_provenance(tmp_path):
    text = render(tmp_path, '{{ figure("loss") }}').markdown
    for scheme in ("light", "dark"):
        assert f"../../figures/mlp-ratio/laptop/loss-1-{scheme}.svg#only-{scheme}" in text
    for fact in (
        "**laptop** profile",
        "1\u00a0seed",
        "a machine (cpu, fp32)",
        "1 diverged",
        "commit `abc`",
        "(../../notebooks/mlp-ratio.md)",
        "`make reproduce PROFILE=laptop`",
        "(../../evidence/mlp-ratio/laptop/r1-s0/metrics.parquet)",
    ):
        assert fact in text


def test_a_figure_of_more_seeds_than_are_trained_first_asks_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment.Experiment, "first_seeds", lambda self, profile: 0)
    assert "again: `make reproduce PROFILE=laptop SEEDS=all`" in render(tmp_path, '{{ figure("loss") }}').markdown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{{ number("best") }}', "unknown number 'best'; known: best-r, gap, slower (closest: best-r)"),
        ('{{ value("best") }}', "unknown number 'best'; known: best-r, gap, slower (closest: best-r)"),
        ('{{ table("ratio") }}', "unknown table 'ratio'; known: ratios (closest: ratios)"),
        ('{{ figure("los") }}', "unknown figure 'los'; known: loss (closest: loss)"),
        ('{{ claim("S0-5") }}', "unknown claim 'S0-5'; known: S0-4 (closest: S0-4)"),
        ('{{ verdict("S0-5") }}', "unknown claim 'S0-5'; known: S0-4 (closest: S0-4)"),
        (
            '{% if false and verdict("S0-4") == "suported" %}{% endif %}',
            "no verdict is 'suported'; known: inconclusive, not tested, one run agrees, one run disagrees, refuted, "
            "remark, supported (closest: supported)",
        ),
        ('{% if verdict("S0-4") in ("refuted", "open") %}{% endif %}', "no verdict is 'open'; "),
        ('{{ parts("S0-4", "refute") }}', "no verdict is 'refute'; "),
        ('{% if false %}{{ claim("S0-5") }}{% endif %}', "unknown claim 'S0-5'; known: S0-4 (closest: S0-4)"),
        ('{% if false %}{{ cite("nobody2000") }}{% endif %}', "unknown reference 'nobody2000'; "),
        ('{% if profile == "ppaer" %}{% endif %}', "no profile is 'ppaer'; "),
        ('{% if published("mlp-ratio", "papr") %}{% endif %}', "no profile is 'papr'; "),
        ('{% if false and value("best-r", profile="smok") %}{% endif %}', "no profile is 'smok'; "),
        ("{{ profil }}", "unknown name 'profil'; known: "),
        ('{% if false %}{{ nmber("best-r") }}{% endif %}', "unknown name 'nmber'; known: "),
        ("{{ provenance.seed }}", "'dict object' has no attribute 'seed'"),
        ("{{ number( }}", "unexpected '}'"),
        ("{% if %}", "Expected an expression"),
        ('{{ value("best-r") + "x" }}', "unsupported operand"),
        (r"$\frac{1$", "cannot read the formula"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path, line, said):
    with pytest.raises(UserError) as raised:
        render(tmp_path, f"One line.\n\nText before {line}\n\nText after.\n")
    assert str(raised.value).startswith(f"posts/a-post/index.md:{FIRST + 2}: {said}")
    assert "\n" not in str(raised.value)


def test_results_need_a_notebook(tmp_path):
    alone = load(tmp_path, '{{ number("best-r") }}', FRONT.replace("notebook: mlp-ratio\n", ""))
    with pytest.raises(UserError, match="the front matter names no notebook"):
        post.render(alone, SOURCES)
    with pytest.raises(UserError, match=r"index.md:7: unknown notebook 'mlp-ratio'; none is known"):
        post.render(load(tmp_path), post.Sources())


def test_a_name_that_two_notebooks_give_is_refused(tmp_path):
    both = load(tmp_path, '{{ number("best-r") }}', FRONT.replace("mlp-ratio", "[mlp-ratio, other]"))
    with pytest.raises(
        UserError, match='given by mlp-ratio and by other: rename one, or name the notebook: notebook="mlp-ratio"'
    ):
        post.render(both, post.Sources({"mlp-ratio": {"laptop": RESULTS}, "other": {"laptop": RESULTS}}))


def edited(profile, best=3, **more):
    """The results of another profile."""
    numbers = RESULTS["numbers"] | {"best-r": RESULTS["numbers"]["best-r"] | {"value": best}}
    entry = RESULTS["provenance"]["mlp-ratio"] | {"profile": profile}
    return RESULTS | {"numbers": numbers, "provenance": {"mlp-ratio": entry}} | more


SIZES = {"paper": edited("paper", 5), "laptop": RESULTS}


def render_two(tmp_path, body, **more):
    """A post on two notebooks: `mlp-ratio` in two profiles, and what `more` names."""
    sources = post.Sources(
        {"mlp-ratio": SIZES} | more,
        {"S0-4": {"paper": {"verdict": "refuted"}, "laptop": {"verdict": "supported"}}, "S0-7": {"": {"verdict": "x"}}},
    )
    front = FRONT.replace("mlp-ratio", f"[{', '.join(['mlp-ratio', *more])}]")
    return post.render(load(tmp_path, body, front), sources).markdown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{{ number("best-r") }} {{ profile }}', "5 paper"),
        ('{{ number("best-r", profile="laptop") }}', "3"),
        ('{{ value("best-r", profile="laptop", notebook="mlp-ratio") }}', "3"),
        ('{{ verdict("S0-4") }} {{ verdict("S0-4", profile="laptop") }}', "refuted supported"),
        ('{{ verdict("S0-7", profile="laptop") }}', "x"),
        ('{{ published("mlp-ratio", "paper") }} {{ published("mlp-ratio", "smoke") }}', "True False"),
        ('{{ has("best-r", profile="paper") }} {{ has("best-r", profile="smoke") }}', "True False"),
    ],
)
def test_a_post_may_name_a_profile(tmp_path, body, shown):
    assert render_two(tmp_path, body) == shown


def test_a_notebook_that_lacks_the_posts_profile_gives_its_own(tmp_path):
    web = edited("laptop", 7) | {"numbers": {"web-r": RESULTS["numbers"]["best-r"]}}
    body = '{{ number("best-r") }} {{ number("web-r") }} {{ profile_of("web") }} {{ profile_of("mlp-ratio") }}'
    assert render_two(tmp_path, body, web={"laptop": web}) == "5 3 laptop paper"
    smaller = {"paper": web, "laptop": web}
    text = post.render(
        load(tmp_path, '{{ profile_of("web") }}', FRONT.replace("mlp-ratio", "[mlp-ratio, web]")),
        post.Sources({"mlp-ratio": {"laptop": RESULTS}, "web": smaller}),
    )
    assert text.markdown == "laptop", "that of the first notebook"


def test_what_needs_no_evidence_is_the_same_in_every_profile(tmp_path):
    sums = RESULTS | {"provenance": {}, "numbers": {"sum": RESULTS["numbers"]["best-r"]}}
    body = '{{ number("sum", profile="paper") }} {{ number("sum") }} {{ published("sums", "paper") }}'
    assert render_two(tmp_path, body, sums={"laptop": sums}) == "3 3 True"


def test_a_name_of_two_notebooks_is_told_apart(tmp_path):
    other = {"paper": edited("paper", 9)}
    assert render_two(tmp_path, '{{ number("best-r", notebook="other") }}', other=other) == "9"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{{ number("best-r", profile="smoke") }}',
            "number 'best-r' does not exist in profile 'smoke' of mlp-ratio; there are: paper, laptop",
        ),
        (
            '{{ verdict("S0-4", profile="smoke") }}',
            "claim 'S0-4' has no verdict of profile 'smoke'; there are: paper, lap",
        ),
        ('{{ number("best-r", notebook="nope") }}', "unknown notebook 'nope'; known: mlp-ratio"),
        ('{{ published("nope", "paper") }}', "unknown notebook 'nope'; known: mlp-ratio"),
    ],
)
def test_a_profile_or_notebook_that_is_not_there_is_named(tmp_path, line, said):
    with pytest.raises(UserError, match=said):
        render_two(tmp_path, line)
