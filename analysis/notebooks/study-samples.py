# %% [markdown]
# # A hundred tokens after token 0
#
# The source shows what its models write when they are given token 0. Here are texts of the study's own models, drawn in
# the same way: one text a model, of its first seed, not a chosen one. Token 0 is another one in each vocabulary, so it
# is said what it stands for. No verdict hangs on a text.

# %% tags=["parameters"]
experiments = ["mlp-reading", "convergence", "norm-place", "byte-patches", "source-mlp"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-samples"

# %%
import numpy as np
import pandas as pd

from analysis.study import arms, baselines
from analysis.study.literature import STUDY_SAMPLES
from analysis.study.results import Results
from analysis.study.samples import printed, token_0
from runner.data import corpora
from runner.data.measures import Lexicon
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.tokenizer import Source
from runner.plan.spec import from_dict

MODELS = {
    "MLP": ("mlp-reading", "flatten"),
    "WaveNet": ("convergence", "wavenet"),
    "Transformer": ("norm-place", "before"),
    "MEGABYTE-like": ("byte-patches", ""),
    "MLP, full size": ("source-mlp", ""),  # the source's own
}
results = Results(output)

# %% [markdown]
# ## The texts
# Of several arms of one kind (learning rates), the one with the lowest mean of the lowest validation losses is taken. A
# word is unknown if the training text does not have it, in whatever capitals. Splits are ranges of characters here: a
# byte of this text is one, too.

# %%
rows, texts, many = [], {}, {"words": 0, "unknown": 0}
for model, (name, begin) in MODELS.items():
    read = arms.read(logs, name, profile, all_planned=True, diverged=True)
    results.provenance(read.runs)
    own = [arm for arm in read if str(arm).startswith(begin)]
    arm = min(own, key=lambda each: read.curves()[each].min().mean())
    run = next((run for run in read.kept[arm].values() if run.samples().num_rows), None)
    if run is None:
        continue
    spec = from_dict(run.manifest["spec"], str(run.path))
    (drawn,) = run.samples().to_pylist()
    text = corpora.text(spec.data.corpus)
    train = text[slice(*spec.data.train)]
    codec = TOKENIZERS[spec.data.tokenizer].of(Source(text, train))
    lexicon = Lexicon.of([train])
    texts[model] = codec.decode(np.array(drawn["tokens"]))
    last = read.bits("val").query("arm == @arm and seed == @spec.seed").bits.iloc[-1]
    if spec.data.tokenizer in ("characters", "bytes"):
        many = {key: count + drawn[key] for key, count in many.items()}
    else:
        results.number("source-size-words", drawn["words"], "words")
        results.number("source-size-unknown", drawn["unknown"])
        results.number("source-size-bits", last, "bits", digits=2)
        counted = baselines.read(logs, read).levels(bits=True).get("unigram")
        results.number("source-size-unigram", counted, "bits", digits=2, reason="nothing was counted")
    rows.append(
        {
            "model": model,
            "token 0": token_0(codec),
            "in the training text": f"{int((codec.encode(train) == 0).sum()):,} times",
            "bits per character": f"{last:.2f}",
            "unknown words": f"{drawn['unknown']} of {drawn['words']}",
            "text": printed(texts[model]),
        }
    )

# %%
results.number("sampled-models", len(rows), "models")
if rows:
    length = len(drawn["tokens"])
    shown = STUDY_SAMPLES["MLP"]
    words, unknown = lexicon.unknown(shown)
    p50k_base = TOKENIZERS["p50k_base"]()
    source = {
        "model": "the source's",
        "token 0": token_0(p50k_base),
        "in the training text": "–",
        "bits per character": "–",
        "unknown words": f"{unknown} of {words}",
        "text": printed(shown.rstrip("\n")),
    }
    whole = pd.DataFrame([*rows, source])
    results.table(
        "token-0-samples",
        whole[["model", "text"]],
        caption=f"One text a model of {length} tokens after token 0, seed {spec.seed}, at a temperature of 1; ↵ is a "
        f"line break. The source shows its text under its MLP and under its Transformer. Profile {profile}.",
    )
    results.table(
        "token-0",
        whole.drop(columns="text"),
        caption="What token 0 stands for, and how often it comes; the validation loss of the run that wrote the text, "
        "at its end, each on another stretch of text, so that they are not to be compared; words of the text that the "
        f"training text does not have. Profile {profile}.",
    )
    results.number("sample-length", length, "tokens")
    results.number("different-samples", len(set(texts.values())), "texts")
    results.number("source-sample-words", words, "words")
    results.number("source-sample-unknown", unknown)
    results.number("own-sample-words", many["words"], "words")
    results.number("own-sample-unknown", many["unknown"])
results.save()
