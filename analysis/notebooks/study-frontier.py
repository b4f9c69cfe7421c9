# %% [markdown]
# # All models of the blog, by bits per character and by what they cost
#
# Every arm of every experiment of which there is evidence, in every profile, and the n-gram counts beside them. Losses
# are ranked together only where they were measured on the same text. (A model that reads a whole context does not
# predict the first few characters of it.) Nothing is trained for this notebook, and no claim is decided by it: arms
# differ in seeds, in the text that they may train on and in how long they do.

# %% tags=["parameters"]
experiments = []
everything = True
logs = "logs"
profile = "laptop"
output = "build/analysis/study-frontier"

# %%
import math
from collections import Counter

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from analysis.study import arms, style, survey
from analysis.study.figures import Drawing, Series
from analysis.study.results import Results
from analysis.study.text import count, listed, number

results = Results(output)
# Runs of the smoke profile validate less text; where there are no others, they exercise this notebook.
ranked = survey.scopes(survey.read(logs)) or survey.scopes(survey.read(logs, least=1))
models = [one for entries in ranked.values() for one in entries if one.kind != "n-gram"]
if not models:
    raise arms.Incomplete("no finished run has a validation loss of text: train an experiment first")
KINDS = {
    "gpt": "GPT",
    "minigpt": "Mini GPT",
    "mlp": "MLP",
    "wavenet": "WaveNet",
    "megabyte": "MEGABYTE",
    "nested": "nested GPT",
    "priced": "GPT with gates",
}

# %% [markdown]
# ## The table
# *Bits* are the lowest validation loss, a mean over seeds. FLOPs and seconds are those of a whole training run; seconds
# are its steps times the median of its logged paces, on the machine that the run was on, often beside a second run, and
# compared on one kind of device only.


# %%
def row(place: int, one: survey.Entry) -> dict[str, object]:
    """One line of a table."""
    return {
        "rank": place,
        "model": f"{KINDS.get(one.kind, one.kind)}: {one.name}" if one.kind != "n-gram" else one.name,
        "from": f"{one.experiment}, {one.profile}" if one.kind != "n-gram" else "counts",
        "bits per character": f"{one.score:.3f}",
        "seeds": len(one.bits) if one.kind != "n-gram" else "–",
        "parameters": f"{one.parameters:,}",
        "training text": f"{one.read:,}",
        "training FLOPs": "–" if one.flops is None else f"{one.flops:.1e}",
        "seconds": "–" if one.seconds is None else f"{number(one.seconds, 0)} ({one.device})",
    }


rows, short = [], []
for scope, entries in ranked.items():
    seen: set[tuple[str, str, str]] = set()
    for place, one in enumerate(entries, 1):
        line = {"measured on": str(scope), **row(place, one)}
        rows.append(line)
        group = (one.kind, one.experiment if one.kind != "n-gram" else one.name, one.profile)
        if group not in seen:
            short.append(line)
            seen.add(group)
NOTE = (
    "Ranked among what is measured on the same text, in bits per character of validation text; n-gram models are "
    "interpolated counts, and their parameters the counts that are not zero. Training text is in the same "
    "unit. "
)
results.table("ranking", pd.DataFrame(rows), caption=f"All models. {NOTE}")
results.table("best", pd.DataFrame(short), caption=f"The best model of each kind in each experiment. {NOTE}")

# %% [markdown]
# ## The frontier
# A model is on the frontier of a cost if no other on the same text has fewer bits at the same or a lower cost. For each
# corpus the text on which most models were measured is shown.

# %%
most: dict[str, survey.Scope] = {}
for scope, entries in ranked.items():
    many = sum(one.kind != "n-gram" for one in entries)
    kept = most.get(scope.corpus)
    if many and (kept is None or many > sum(one.kind != "n-gram" for one in ranked[kept])):
        most[scope.corpus] = scope
main = max(most.values(), key=lambda scope: len({one.kind for one in ranked[scope]}) * 1000 + len(ranked[scope]))
LABELS = {"flops": "training FLOPs", "parameters": "parameters", "seconds": "seconds of training"}
LEGEND = {"fontsize": 8, "handletextpad": 0.2, "frameon": True, "framealpha": 1, "edgecolor": "none"}
SIGNS = {"gpt": "o", "minigpt": "s", "mlp": "^", "wavenet": "D", "megabyte": "P", "nested": "v", "priced": "X"}


# %%
def panel(scope: survey.Scope, cost: str, title: str) -> Drawing:
    """Bits against one cost, a dot a model, a line through the frontier, n-gram counts as dashed lines."""
    entries = ranked[scope]
    known = [one for one in entries if one.kind != "n-gram"]
    if cost == "seconds":  # of one kind of device only
        usual = Counter(one.device for one in known).most_common(1)[0][0]
        known = [one for one in known if one.device == usual]
    top = max((one.score for one in entries if one.name == "uniform"), default=math.inf)
    known = [one for one in known if one.score <= top]
    counts = [
        one for one in entries if one.kind == "n-gram" and one.parameters and one.score <= max(m.score for m in known)
    ]
    edge = survey.frontier([*known, *counts] if cost == "parameters" else known, cost)
    kinds = [kind for kind in SIGNS if any(one.kind == kind for one in known)]

    def draw(ax: Axes) -> None:
        ax.set_xscale("log")
        ax.step([getattr(one, cost) for one in edge], [one.score for one in edge], where="post", color=style.ink())
        ends = []
        for colour, kind in zip(style.colours(max(2, len(kinds))), kinds, strict=False):
            own = [one for one in known if one.kind == kind]
            ax.plot(
                [getattr(one, cost) for one in own], [one.score for one in own], SIGNS[kind], color=colour,
                markersize=4.5, alpha=0.75, label=KINDS[kind],
            )  # fmt: skip
        for one in counts:
            if cost == "parameters":
                ax.plot(one.parameters, one.score, "x", color=style.muted())
                ax.annotate(
                    one.name, (one.parameters, one.score), (5, 4), textcoords="offset points", color=style.muted(),
                    fontsize=8,
                )  # fmt: skip
            else:
                ax.axhline(one.score, color=style.muted(), linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
                ends.append((one.score, one.name, style.muted()))
        ax.margins(x=0.08)
        ax.xaxis.set_minor_locator(LogLocator(subs=[3]))
        ax.set(title=title, xlabel=f"{LABELS[cost]} (log scale)", ylabel="bits per character")
        ax.legend(loc="best", facecolor=style.page(), **LEGEND)
        if ends:
            style.end_labels(ax, ends)

    shown = [
        Series(KINDS[kind], [getattr(one, cost) for one in own], [one.score for one in own])
        for kind in kinds
        for own in [[one for one in known if one.kind == kind]]
    ]
    shown.append(Series("frontier", [getattr(one, cost) for one in edge], [one.score for one in edge]))
    shown += [Series(one.name, [one.parameters], [one.score]) for one in counts]
    return Drawing(title, LABELS[cost], "bits per character", function=draw, shown=shown)


def stood(scope: survey.Scope) -> str:
    """What the dots of a text stand on, for captions: how many models, their seeds and profiles."""
    own = [one for one in ranked[scope] if one.kind != "n-gram"]
    seeds, profiles = [len(one.bits) for one in own], sorted({one.profile for one in own})
    each = count(seeds[0], "seed") if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)} seeds"
    return f"{count(len(own), 'model')} of {each}, profile{'s' * (len(profiles) > 1)} {listed(profiles)}"


# %%
results.figure(
    "frontier",
    [panel(scope, "flops", corpus) for corpus, scope in most.items()],
    alt=[f"Bits per character of every model of {corpus} against its training FLOPs." for corpus in most],
    caption="A dot a model, the mean of its seeds; the line is the frontier. What scores worse than the uniform "
    "distribution is left out. "
    + " ".join(
        f"{corpus}: {scope.unit} {scope.val[0]:,} to {scope.val[1]:,}, {stood(scope)}."
        for corpus, scope in most.items()
    )
    + " No intervals.",
)
results.figure(
    "frontier-size",
    [panel(main, cost, LABELS[cost].capitalize()) for cost in ("parameters", "seconds")],
    alt=[f"Bits per character of every model against {LABELS[cost]}." for cost in ("parameters", "seconds")],
    caption=f"Measured on {main}: {stood(main)}. A dot a model, the mean of its seeds, without its interval; the line "
    "is the frontier, in the first panel with n-gram counts.",
)

# %% [markdown]
# ## Models against counts, text by text
# On each text the best model, whatever it costs, and the best n-gram counts. The two need not have read as much: the
# table says how much each may train on.

# %%
duels = []
for scope, entries in ranked.items():
    model = next((one for one in entries if one.kind != "n-gram"), None)
    counted = next((one for one in entries if one.kind == "n-gram" and one.parameters), None)
    if model and counted:
        ahead = sum(one.kind != "n-gram" and one.score < counted.score for one in entries)
        duels.append((scope, model, counted, ahead))
duels.sort(key=lambda one: one[1].score - one[2].score)
results.table(
    "against-counts",
    pd.DataFrame(
        [
            {
                "measured on": str(scope),
                "best model": f"{KINDS.get(model.kind, model.kind)}: {model.name}",
                "from": f"{model.experiment}, {model.profile}",
                "parameters": f"{model.parameters:,}",
                "its bits": f"{model.score:.3f}",
                "best counts": f"{counted.name}, {counted.parameters:,}",
                "their bits": f"{counted.score:.3f}",
                "models ahead of counts": f"{ahead} of {sum(one.kind != 'n-gram' for one in ranked[scope])}",
            }
            for scope, model, counted, ahead in duels
        ]
        or [{"measured on": "–"}]
    ),
    caption="Bits per character of validation text, the stretches on which a model is farthest ahead first. Means of "
    "seeds; no interval, and no verdict.",
)
leads = {sign: [one for one in duels if (one[2].score - one[1].score) * sign > 0] for sign in (1, -1)}
results.number("texts-counted", len(duels), "stretches of text")
for name, sign in (("ahead", 1), ("behind", -1)):
    by = [abs(counted.score - model.score) for _, model, counted, _ in leads[sign]]
    sizes = [model.parameters for _, model, _, _ in leads[sign]]
    why = f"no best model is {name}"
    results.number(f"texts-{name}", len(by))
    results.number(f"{name}-least", min(by, default=None), "bits", digits=2, reason=why)
    results.number(f"{name}-most", max(by, default=None), "bits", digits=2, reason=why)
    results.number(f"{name}-smallest", min(sizes, default=None), "parameters", reason=why)
    results.number(f"{name}-largest", max(sizes, default=None), "parameters", reason=why)

# %%
best = next(one for one in ranked[main] if one.kind != "n-gram")
counts = [one for one in ranked[main] if one.kind == "n-gram"]
edge = survey.frontier([one for one in ranked[main] if one.kind != "n-gram"], "flops")
results.number("all-models", len(models), "models")
results.number("all-runs", sum(len(one.bits) for one in models), "runs")
results.number(
    "all-texts", len([1 for entries in ranked.values() if any(o.kind != "n-gram" for o in entries)]), "stretches"
)
results.number("main-first", main.val[0])
results.number("main-last", main.val[1])
results.number("main-models", len([one for one in ranked[main] if one.kind != "n-gram"]), "models")
results.number("main-best", best.score, "bits per character", digits=2)
longest = min(counts, key=lambda one: one.score) if counts else None
results.number(
    "main-counts", longest.score if longest else None, "bits per character", digits=2, reason="nothing was counted"
)
beaten = [one for one in ranked[main] if one.kind != "n-gram" and longest and one.score < longest.score]
results.number("main-beat-counts", len(beaten), "models")
results.number("edge-models", len(edge), "models")
results.number("edge-kinds", len({one.kind for one in edge}), "kinds")
results.save()
