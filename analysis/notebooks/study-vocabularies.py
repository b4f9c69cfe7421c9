# %% [markdown]
# # Before and beyond the transformer: the text and its tokenizers
#
# A study of models on tiny Shakespeare says how many words its text has, how it was split, and which vocabularies suit
# it. The text is pinned by its checksum, and so are the tokenizers: what they make of it is counted here. Nothing is
# trained but vocabularies.

# %% tags=["parameters"]
experiments = []
logs = "logs"
profile = "laptop"
output = "build/analysis/study-vocabularies"

# %%
import re
from dataclasses import replace

import pandas as pd

from analysis.study import literature, verdicts
from analysis.study.figures import Rows, Sweep
from analysis.study.results import Results
from analysis.study.stats import estimate
from analysis.study.verdicts import ABOVE, BELOW, Measure
from runner.data import corpora
from runner.data.tokenizers import sentencepiece
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.report import report
from runner.data.tokenizers.sentencepiece import SentencePieceSpec
from runner.data.tokenizers.tokenizer import Source
from runner.models.cost import describe
from runner.plan import experiment

ROOM = 0.05
results = Results(output)

# %% [markdown]
# ## The rules of the verdicts
# A round number (30k, 34k) is given room of 5%. Everything else has its rule beside it. These rules were written when
# some of the counts were known from building the tokenizers; they are arithmetic, and no run can change them.
#
# ## The text
# A word is a run of letters, with apostrophes inside it. Capitals count as they are written; without them there are
# fewer. S4-7 is about *Shakespeare's work*, so it is counted in all the plays that we have; of S4-9 the word itself is
# looked for in them, and then in this text. (Until 2026-11-28 S4-7 was read as about this text alone.)

# %%
text, plays = corpora.text("tiny-shakespeare"), corpora.text("shakespeare-plays")
LETTERS = r"[^\W\d_]+"
WORD, LONGEST = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*"), "honorificabilitudinitatibus"
words = {"this text": WORD.findall(text), "all 38 plays": WORD.findall(plays)}
different = {name: len(set(found)) for name, found in words.items()}
longest = {
    name: max(re.findall(LETTERS, whole), key=len) for name, whole in (("this text", text), ("all 38 plays", plays))
}
folded = {name: len({word.lower() for word in found}) for name, found in words.items()}
results.table(
    "words",
    pd.DataFrame(
        [
            {
                "text": name,
                "words": len(found),
                "different words": different[name],
                "… in lower case": folded[name],
                "longest run of letters": longest[name],
                "its letters": len(longest[name]),
            }
            for name, found in words.items()
        ]
    ),
    caption="Runs of letters, with apostrophes inside. The plays are those that stand in for web text on this site.",
)
results.claim(
    "S4-7",
    verdicts.fact(
        abs(different["all 38 plays"] / 30_000 - 1) <= ROOM and len(words["all 38 plays"]) > 800_000,
        "Supported if Shakespeare's plays have 30,000 different words, to within 5%, and more than 800,000 words.",
        Measure("different words of the plays", different["all 38 plays"], 0, 30_000),
        Measure("words of the plays", len(words["all 38 plays"]), ABOVE, 800_000),
    ),
    reason=f"all the plays have {different['all 38 plays']:,} different words of {len(words['all 38 plays']):,}. The "
    f"text that the models read is a part of them, with {different['this text']:,} different words of "
    f"{len(words['this text']):,}",
)
rule_of_thumb = 4 / 3 * 30_000
results.claim(
    "S4-8",
    verdicts.near({"tokens for 30,000 words": rule_of_thumb}, 32_000, ROOM),
    reason=f"four tokens to three words make {rule_of_thumb:,.0f} tokens of 30,000 words, and "
    f"{4 / 3 * different['this text']:,.0f} of the {different['this text']:,} that this text has. Besides, the rule is "
    "about the length of running text and not about the size of a vocabulary. The source says that it was considered, "
    "beside the limit of sentencepiece on this text, which would cap it too (S4-6)",
)
letters = len(longest["all 38 plays"])
occurs = {name: found.lower().count(LONGEST) for name, found in (("this text", text), ("all 38 plays", plays))}
results.claim(
    "S4-9",
    verdicts.fact(
        len(LONGEST) == 27 == letters and occurs["all 38 plays"] > 0,
        "Supported if the word has 27 letters, occurs in the plays, and no word there has more.",
        Measure("letters of the word", len(LONGEST), 0, 27),
        Measure("most letters of a word in the plays", letters, 0, 27),
    ),
    reason=f"{len(LONGEST)} letters. Occurrences in all the plays: {occurs['all 38 plays']}; in this text: "
    f"{occurs['this text']}. The longest word here, {longest['this text']}, has {len(longest['this text'])}",
)

# %% [markdown]
# S4-10: the split. The data set that the source links to comes in shares of its own, which its builder states in the
# code (tensorflow/datasets, `tiny_shakespeare_dataset_builder.py`). If they are others, the source must have cut the
# text itself, which only its code could show.

# %%
ours = experiment.load("mlp-reading").plans("paper")[0].spec.data
sizes = [stop - start for start, stop in ours.splits().values()]
cited = literature.on("S4-10")
results.claim(
    "S4-10",
    verdicts.said(
        [one.side for one in cited],
        "Supported if the data set that the source links to comes in these shares; inconclusive if it comes in "
        "others, as the source may have cut the text again.",
        always=True,
    ),
    reason=f"{'; '.join(map(str, cited))}. 80/10/10 is what our "
    f"runs take: {', '.join(f'{size:,}' for size in sizes)} of {len(text):,} characters",
    basis="literature",
)

# %% [markdown]
# ## Vocabularies
# Each tokenizer on the whole text and on its first four fifths, which are the training split. sentencepiece learns its
# vocabulary: of the training split alone, or, *leaky*, of all splits.
#
# S4-14: a tokenizer *does not suit* a text if fewer than half of its tokens occur in the training split: an embedding
# and an output row that no example asks for are not learnt. That a model learns something all the same takes runs; the
# claim is not decided before there are some.


# %%
def prefixed(part: str) -> str:
    """A text as Llama 2's tokenizer learns from it: with a space before each line."""
    return " " + part.replace("\n", "\n ")


train = text[: sizes[0]]
learnt = SentencePieceSpec()
most = {
    (name, prefix): sentencepiece.largest(prefixed(part) if prefix else part, learnt)
    for name, part in (("whole", text), ("training", train))
    for prefix in (False, True)
}
CODECS = {
    "p50k_base": ("p50k_base", None),
    "gpt2": ("gpt2", None),
    "bert-base-uncased": ("bert-base-uncased", None),
    "sentencepiece, 32k, leaky": ("sentencepiece", replace(learnt, vocabulary=32_000, leaky=True)),
    "sentencepiece, largest": ("sentencepiece", replace(learnt, vocabulary=most["training", False])),
    "sentencepiece, 3k": ("sentencepiece", learnt),
    "characters": ("characters", None),
    "bytes": ("bytes", None),
}
reports = {
    name: report(TOKENIZERS[kind].of(Source(text, train, settings)), {"whole": [text], "training": [train]})
    for name, (kind, settings) in CODECS.items()
}
used = {name: one.splits["training"].used for name, one in reports.items()}
results.table(
    "tokenizers",
    pd.DataFrame(
        [
            {
                "tokenizer": name,
                "vocabulary": one.vocabulary,
                "of which occur in training": f"{used[name]:.0%}",
                "tokens of the text": one.splits["whole"].tokens,
                "bytes a token": f"{one.splits['whole'].bytes_per_token:.2f}",
                "the text comes back": "yes" if one.splits["whole"].round_trip else "no",
            }
            for name, one in reports.items()
        ]
    ),
    caption=f"Of the {len(text):,} characters of tiny Shakespeare; its first {len(train):,} are the training split. "
    "Leaky: learnt from all splits; the others of sentencepiece from the training split alone.",
)
p50k, mlp = reports["p50k_base"], experiment.model("mlp", {})
unseen = round((1 - used["p50k_base"]) * p50k.vocabulary) * (mlp.width + mlp.hidden + 1)
unseen_share = unseen / describe(mlp, p50k.vocabulary, mlp.block_size).total()
results.claim(
    "S4-14",
    verdicts.fact(
        used["p50k_base"] < 0.5,
        "Refuted if at least half of its tokens occur in the training split.",
        Measure("share of its tokens that occur", used["p50k_base"], BELOW, 0.5),
    ).unless("it takes several runs with this tokenizer to say what a model learns" if used["p50k_base"] < 0.5 else ""),
    reason=f"{used['p50k_base']:.0%} of its {p50k.vocabulary:,} tokens occur in the training split; "
    f"{unseen_share:.0%} of the MLP's parameters are rows of the others, so that it does not suit the "
    "text. Whether a model learns something all the same takes several runs with it",
)

# %% [markdown]
# S4-6: the largest vocabulary that byte pairs can reach, with a coverage of 0.999995 and pieces of up to 27 characters.
# The source took *most settings* from Llama 2's tokenizer, which puts a space before each line; ours does not, so that
# the text comes back. Supported if with the space the limit of the whole text is 34,000 to within 5%.

# %%
literal, ours_most, ours_training = most["whole", True], most["whole", False], most["training", False]
results.claim(
    "S4-6",
    verdicts.near({"largest vocabulary, whole text, as Llama 2": literal}, 34_000, ROOM),
    reason=f"{literal:,} pieces from the whole text as Llama 2 reads it, and {ours_most:,} without its space before "
    f"each line. The training split alone gives {most['training', True]:,} and {ours_training:,}: the 32,000 "
    "that the source takes were learnt from more than a training split of four fifths",
)

# %%
SHARES_READ = [share / 10 for share in range(2, 11)]
reach = {
    name: [estimate([sentencepiece.largest(read(text[: round(share * len(text))]), learnt)]) for share in SHARES_READ]
    for name, read in (("ours", str), ("as Llama 2", prefixed))
}
results.figure(
    "vocabularies",
    [
        Rows(
            "Vocabulary in use",
            "% of it that occurs in training",
            rows={name: estimate([share]) for name, share in used.items() if name not in ("gpt2", "bytes")},
            name="counted",
        ),
        Sweep(
            "Largest vocabulary that can be learnt",
            "share of the text that is read, from its beginning",
            "pieces",
            at=SHARES_READ,
            lines=reach,
            log=False,
            levels={"32,000": 32_000},
        ),
    ],
    alt=[
        "Share of the vocabulary of six tokenizers that occurs in the training split: least of p50k_base, all of the "
        "characters.",
        "The largest vocabulary of sentencepiece against the share of the text that it learns from, which rises to the "
        f"end: four fifths of the text reach {ours_training:,}.",
    ],
    caption="Counted from the text itself; no run is needed. The training split is the first four fifths.",
)
for name, value, unit, digits in (
    ("text-characters", len(text), "characters", 0),
    ("text-words", len(words["this text"]), "words", 0),
    ("text-different", different["this text"], "", 0),
    ("plays-words", len(words["all 38 plays"]), "words", 0),
    ("plays-different", different["all 38 plays"], "", 0),
    ("rule-of-thumb", rule_of_thumb, "tokens", 0),
    ("p50k-vocabulary", p50k.vocabulary, "tokens", 0),
    ("p50k-used", 100 * used["p50k_base"], "%", 0),
    ("p50k-unseen-share", 100 * unseen_share, "%", 0),
    ("bert-used", 100 * used["bert-base-uncased"], "%", 0),
    ("learnt-used", 100 * used["sentencepiece, largest"], "%", 0),
    ("p50k-tokens-a-word", p50k.splits["whole"].tokens / len(words["this text"]), "tokens a word", 2),
    ("most-literal", literal, "pieces", 0),
    ("most-whole", ours_most, "pieces", 0),
    ("most-training-literal", most["training", True], "pieces", 0),
    ("most-training", ours_training, "pieces", 0),
    ("longest-here", occurs["this text"], "times", 0),
):
    results.number(name, value, unit, digits)
results.save()
