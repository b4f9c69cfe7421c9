# %% [markdown]
# # A mini GPT: what can be computed
#
# A page describes a small GPT for children's stories: three sizes, their parameters, their perplexities, the time that
# one of them took. Here stands what follows from those numbers and from the models themselves. No run is needed.

# %% tags=["parameters"]
experiments = []
logs = "logs"
profile = "laptop"
output = "build/analysis/mini-gpt-cost"

# %%
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis.study import literature, stats, verdicts
from analysis.study.architecture import Part, Tower
from analysis.study.figures import Bars
from analysis.study.results import Results
from analysis.study.verdicts import ABOVE, BELOW, Measure
from runner.models.cost import describe
from runner.plan import experiment

SIZES, VOCABULARY = literature.MINI_GPT, literature.MINI_GPT_VOCABULARY
results = Results(output)
planned = experiment.load("mini-gpt").plans("paper")
models = {plan.name.rpartition("-s")[0]: plan.spec.model for plan in planned}
costs = {name: describe(spec, VOCABULARY, spec.block_size) for name, spec in models.items()}
totals = {name: cost.total() for name, cost in costs.items()}
medium = models["medium"]

# %% [markdown]
# ## The models
# S2-1: the source states three counts, and of one model the width. With five blocks, heads of 32, an MLP of twice the
# width, biases in every matrix and norm, fixed sinusoids and the output layer tied to 3,000 embeddings, a width of d
# has 40 d² + 3,057 d parameters, and there are widths at which all three counts come out.

# %%
WIDTHS = range(32, 1025, 32)
fits = {
    name: [d for d in WIDTHS if round((40 * d * d + (VOCABULARY + 57) * d) / 1e6, 2) == size.millions]
    for name, size in SIZES.items()
}
results.claim(
    "S2-1",
    verdicts.fact(
        all(round(totals[name] / 1e6, 2) == size.millions for name, size in SIZES.items()),
        "Supported if one shape gives all three counts, to the two decimals that are stated.",
        *(Measure(f"million parameters of {name}", totals[name] / 1e6, 0, SIZES[name].millions) for name in SIZES),
    ),
    reason="; ".join(f"width {models[name].d_model}: {totals[name]:,}" for name in SIZES)
    + f". Of the {len(WIDTHS)} multiples of 32 to {WIDTHS[-1]:,}, {sum(map(len, fits.values()))} give a stated count",
)
in_block = {
    part: costs["medium"].parameters[part] // medium.n_layer for part in ("attention", "mlp")
}  # weights and biases, without the norms
results.claim(
    "S2-2",
    verdicts.fact(
        all(round(count, -3) == 263_000 for count in in_block.values()),
        "Supported if attention and MLP both round to 263 thousand.",
        *(Measure(part, count, 0, 263_000) for part, count in in_block.items()),
    ),
    reason=f"attention has {in_block['attention']:,}, the MLP {in_block['mlp']:,}: with a ratio of 2 they are one size",
)
untied = describe(replace(medium, tied=False), VOCABULARY, medium.block_size).total() - totals["medium"]
results.claim(
    "S2-3",
    verdicts.fact(
        untied == 768_000,
        "Supported if an output layer of its own has exactly as many parameters.",
        Measure("parameters", untied, 0, 768_000),
    ),
    reason=f"{untied:,}, a matrix of {VOCABULARY:,} × {medium.d_model}, in the medium model; in the small one "
    f"{VOCABULARY * models['small'].d_model:,}",
)
results.claim(
    "S2-10",
    verdicts.fact(
        (medium.n_head, medium.d_head, medium.block_size) == (8, 32, 256) and medium.d_head * 8 == medium.d_model,
        "Supported if 8 heads of 32 fill the width of the model with 3.40 million parameters.",
        Measure("width of 8 heads", 8 * medium.d_head, 0, medium.d_model),
    ),
    reason=f"true of the medium model; with heads of 32 the small one has {models['small'].n_head}, the large one "
    f"{models['large'].n_head}, which the source does not say. A window of 256 is a choice, and ours too",
)

# %% [markdown]
# ## The numbers of the results
# S2-5 and S2-18 are about ratios of what is stated. *Certain* is read as the geometric mean of the probability that the
# model gives to the token that comes, which is 1 / perplexity.

# %%
ratio = totals["large"] / totals["small"]
perplexity = {name: size.perplexity for name, size in SIZES.items()}
gain = perplexity["small"] / perplexity["large"]
loss = {name: math.log(value) for name, value in perplexity.items()}
results.claim(
    "S2-5",
    verdicts.fact(
        abs(ratio / 6.7 - 1) < 0.02 and gain > 2,
        "Supported if the parameters grow by 6.7 times to within 2%, and the perplexity falls to less than half.",
        Measure("times the parameters", ratio, 0, 6.7),
        Measure("times less perplexity", gain, ABOVE, 2),
    ),
    reason=f"{ratio:.2f} times, or {SIZES['large'].millions / SIZES['small'].millions:.2f} by the rounded counts; "
    f"perplexity falls by a factor of {gain:.2f}",
)
results.claim(
    "S2-18",
    verdicts.fact(
        gain > 2,
        "Supported if the mean probability of the token that comes is more than twice as high.",
        Measure("times the probability", gain, ABOVE, 2),
    ),
    reason=f"{1 / perplexity['large']:.1%} against {1 / perplexity['small']:.1%} for the token that comes, {gain:.2f} "
    f"times as much; in bits of surprise it is {loss['large'] / math.log(2):.2f} against "
    f"{loss['small'] / math.log(2):.2f}, {1 - loss['large'] / loss['small']:.0%} less",
)

# %% [markdown]
# S2-7, derived: loss against parameters on logarithmic axes. Three points always have a line of best fit; it is a power
# law if none of them lies off it by more than 2% in loss.

# %%
x, y = np.log([totals[name] for name in SIZES]), np.log(list(loss.values()))
exponent = -stats.slope(x, y)
off = float(np.abs(np.exp(y - np.polyval(np.polyfit(x, y, 1), x)) - 1).max())
steps = {f"{a} to {b}": -math.log(loss[b] / loss[a]) / math.log(totals[b] / totals[a]) for a, b in pairwise(SIZES)}
results.claim(
    "S2-7",
    verdicts.fact(
        off < 0.02,
        "Supported if the three losses lie within 2% of a straight line on logarithmic axes.",
        Measure("exponent", exponent, 0, 0),
        Measure("largest distance from the line, a share of the loss", off, BELOW, 0.02),
    ),
    reason=f"an exponent of {exponent:.3f}; "
    + ", ".join(f"{name} {value:.3f}" for name, value in steps.items())
    + f"; no point lies off by more than {off:.1%}",
)

# %% [markdown]
# S2-8: the time that the tokens take at the source's own pace.

# %%
TOKENS, PACE, MINUTES = literature.MINI_GPT_TOKENS, literature.MINI_GPT_PACE, literature.MINI_GPT_MINUTES
needed = TOKENS / PACE / 60
results.claim(
    "S2-8",
    verdicts.fact(
        needed < MINUTES,
        "Supported if the tokens take less than 35 minutes at the pace that is stated.",
        Measure("minutes", needed, BELOW, MINUTES),
    ),
    reason=f"{TOKENS / 1e6:.0f} million tokens at {PACE:,} a second take {needed:.1f} minutes, and that pace is called "
    f"the peak; {MINUTES} minutes hold {PACE * MINUTES * 60 / 1e6:.1f} million at it, or need "
    f"{TOKENS / MINUTES / 60:,.0f} a second",
)

# %% [markdown]
# ## The architecture, drawn from the model

# %%
D, V, block = medium.d_model, VOCABULARY, costs["medium"].parameters
parts = [
    Part(f"token embedding, {V:,} × {D}", block["token"]),
    Part("+ fixed sinusoids", 0),
    Part("LayerNorm", 2 * D, True),
    Part(f"attention, {medium.n_head} heads of {medium.d_head}", in_block["attention"], True),
    Part("LayerNorm", 2 * D, True),
    Part(f"MLP, {D} → {medium.d_ff} → {D}, GELU", in_block["mlp"], True),
    Part("LayerNorm", 2 * D),
    Part("output layer, tied", 0),
]
drawn = sum(part.parameters * (medium.n_layer if part.repeated else 1) for part in parts)
assert drawn == totals["medium"], f"the drawing shows {drawn:,} parameters of {totals['medium']:,}"
where = ("token", "attention", "mlp", "norm")
shares = {name: {part: cost.parameters[part] / cost.total() for part in where} for name, cost in costs.items()}
results.figure(
    "architecture",
    [
        Tower("The medium model, parameters a part", parts=parts, times=medium.n_layer),
        Bars(
            "Where they are: share of the embedding",
            y="share of the parameters, %",
            bars={name: stats.estimate([100 * share["token"]]) for name, share in shares.items()},
        ),
    ],
    alt=[
        f"The medium model from its embedding of {block['token']:,} parameters through {medium.n_layer} blocks, each "
        f"with {in_block['attention']:,} in attention and {in_block['mlp']:,} in its MLP, to the output layer.",
        "The share of the token embedding in all parameters: it falls from the small to the large model.",
    ],
    caption=f"First, {totals['medium']:,} parameters in all; each branch is added to the stream that passes by it. "
    "Second, how much of each model is its embedding. Generated from the model.",
)
results.table(
    "shapes",
    pd.DataFrame(
        [
            {
                "size": name,
                "width": models[name].d_model,
                "heads": models[name].n_head,
                "MLP": models[name].d_ff,
                "parameters": f"{totals[name]:,}",
                "stated": f"{size.millions:.2f} M",
                "embedding": f"{shares[name]['token']:.0%}",
                "attention": f"{shares[name]['attention']:.0%}",
                "MLP's share": f"{shares[name]['mlp']:.0%}",
                "perplexity, stated": f"{size.perplexity:.2f}",
            }
            for name, size in SIZES.items()
        ]
    ),
    caption="Five blocks, heads of 32, 3,000 tokens. Arithmetic; no run is needed.",
)

# %% [markdown]
# The ratio of this blog's title. At d_ff = 2 d the MLP has the parameters of attention; at 4 d it has twice as many.

# %%
four = describe(replace(medium, mlp_ratio=4.0), V, medium.block_size)
for name, value, unit, digits in (
    ("sizes", len(SIZES), "sizes", 0),
    ("parameters-small", totals["small"], "parameters", 0),
    ("parameters-medium", totals["medium"], "parameters", 0),
    ("parameters-large", totals["large"], "parameters", 0),
    ("mlp-ratio", medium.d_ff / medium.d_model, "", 0),
    ("hidden", medium.d_ff, "hidden units", 0),
    ("mlp-share", 100 * shares["medium"]["mlp"], "%", 0),
    ("mlp-share-four", 100 * four.parameters["mlp"] / four.total(), "%", 0),
    ("parameters-four", four.total(), "parameters", 0),
    ("embedding-share-small", 100 * shares["small"]["token"], "%", 0),
    ("embedding-share-large", 100 * shares["large"]["token"], "%", 0),
    ("minutes-needed", needed, "minutes", 1),
    ("minutes-stated", MINUTES, "minutes", 0),
    ("pace-stated", PACE, "tokens a second", 0),
    ("pace-needed", TOKENS / MINUTES / 60, "tokens a second", 0),
    ("tokens-in-time", PACE * MINUTES * 60 / 1e6, "million", 0),
    ("tokens-stated", TOKENS / 1e6, "million", 0),
    ("exponent-source", exponent, "", 3),
    ("perplexity-gain", gain, "", 2),
    ("surprise-fall", 100 * (1 - loss["large"] / loss["small"]), "%", 0),
):
    results.number(name, value, unit, digits)
results.save()
