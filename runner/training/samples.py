"""Samples at several temperatures as evidence: what a trained model writes, and held-out text that is measured alike.

A row's text is what `runner sample` draws with the run's seed, the corpus' opening as its prompt and the number of the
row. All texts fill the block once, and are drawn side by side. The same number has the same random numbers at every
temperature, so temperatures are compared number by number. Or there is one text, at a temperature of 1, of as many
tokens as are asked for after token 0 of the vocabulary, whatever that stands for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from runner.data import corpora, dataset
from runner.data.measures import Lexicon, distinct, repeated
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.data.tokens import Tokens
from runner.errors import UserError
from runner.evidence import log
from runner.models.protocol import Model
from runner.plan.spec import RunSpec, from_dict
from runner.training import sample
from runner.training.draw import Draw

TEMPERATURES = (0.5, 0.8, 1.0, 1.2)
COUNT = 32  # texts of each temperature, and of held-out text at most


def table(folder: Path, from_token_0: int = 0) -> pa.Table:
    """A row a text, with the columns that `runner.evidence.log` names, from the weights of a run: texts at several
    temperatures and held-out ones, or one of so many tokens after token 0. They are drawn on the processor in float32
    and on one thread, wherever the run was trained."""
    model, codec = sample.load(folder)
    spec = from_dict(_manifest(folder)["spec"], f"{folder / 'manifest.json'}")
    tokens = dataset.load(spec.data)
    prompt, length = ([0], from_token_0) if from_token_0 else begin(spec, codec)
    held_out_HT = np.zeros((0, length), np.int64) if from_token_0 else _held_out(tokens, prompt, length)
    temperatures, count = ((1.0,), 1) if from_token_0 else (TEMPERATURES, COUNT)
    draws = [None] * len(held_out_HT) + [Draw(temperature) for temperature in temperatures for _ in range(count)]
    numbers = [*range(len(held_out_HT)), *[*range(count)] * len(temperatures)]
    uniform_BT = np.stack([sample.uniform(spec.seed, number, length) for number in numbers])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one machine's bytes, with any number of them
    try:
        if from_token_0:
            ids_BT, logprob_BT = moving(model, prompt, uniform_BT)
        else:
            ids_BT, logprob_BT = drawn(model, prompt, uniform_BT, draws, held_out_HT)
    finally:
        torch.set_num_threads(threads)
    lexicon = Lexicon.of(dataset.texts(spec.data)["train"])
    rows: list[dict[str, Any]] = []
    for temperature in (*TEMPERATURES, None):
        places = [k for k, draw in enumerate(draws) if (draw.temperature if draw else None) == temperature]
        shares = distinct([[*prompt, *ids_BT[k]] for k in places], len(prompt))
        for k, apart in zip(places, shares, strict=True):
            ids = [*prompt, *map(int, ids_BT[k])]
            words, unknown = lexicon.unknown(_text(ids, codec, " "))
            mentions, kept = lexicon.kept(_documents(ids, codec)[0])
            rows.append(
                {
                    "temperature": temperature, "number": numbers[k],
                    "text": None if temperature is None else _text(ids, codec, _mark(spec)),
                    "tokens": None if temperature is None else ids_BT[k].tolist(),
                    "logprob": logprob_BT[k].astype(np.float16), "repeated": repeated(ids, len(prompt)),
                    "distinct": apart, "words": words, "unknown": unknown, "mentions": mentions, "kept": kept,
                }
            )  # fmt: skip
    return log.table(rows, log.SAMPLES)


def begin(spec: RunSpec, codec: Tokenizer) -> tuple[list[int], int]:
    """The tokens that all texts of a run begin with, and how many follow them. A `UserError` where they leave no room
    in the block."""
    known = corpora.REGISTRY.get(spec.data.corpus)
    text = known.opening if known and known.opening else codec.prompt
    prompt = sample.encoded(text, codec, spec.model.block_size)
    if len(prompt) == spec.model.block_size:
        raise UserError(f"the prompt {text!r} of samples fills the block of {len(prompt)}: take placement.samples out")
    return prompt, spec.model.block_size - len(prompt)


@torch.no_grad()
def drawn(
    model: Model, prompt: Sequence[int], uniform_BT: np.ndarray, draws: Sequence[Draw | None], given_HT: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What follows a prompt in each text, int64 [B, T], and its logarithm of the probability, float64 [B, T].

    draws      how a text is drawn; None for one that is given
    given_HT   the texts that are given, which come first

    The tokens are those of `runner.training.sample`: logits of many texts at once decide where all within its tolerance
    would decide alike, and those of a text by itself where they would not.
    """
    (B, T), alone = uniform_BT.shape, [False] * len(draws)
    ids_BS = np.concatenate((np.tile(np.array(prompt, dtype=np.int64), (B, 1)), np.zeros((B, T), np.int64)), axis=1)
    logprob_BT = np.zeros((B, T))
    cache, read = None, 0
    for place in range(len(prompt), len(prompt) + T):
        logits, cache = model.decode(torch.from_numpy(ids_BS[:, read:place]), cache)
        read, logits_BV = place, logits.double().numpy()
        for k, draw in enumerate(draws):
            if draw is None:
                ids_BS[k, place] = given_HT[k, place - len(prompt)]
                continue
            seen, u = ids_BS[k, :place].tolist(), float(uniform_BT[k, place - len(prompt)])
            token = None if alone[k] else draw.choose(logits_BV[k], seen, u, sample.TOLERANCE)
            if token is None:
                logits_V = sample.last_logits(model, seen)
                alone[k] = alone[k] or float(abs(logits_BV[k] - logits_V).max()) >= sample.TOLERANCE / 4
                token, logits_BV[k] = draw.choose(logits_V, seen, u), logits_V
                assert token is not None
            ids_BS[k, place] = token
        highest_B = logits_BV.max(axis=1)
        total_B = highest_B + np.log(np.exp(logits_BV - highest_B[:, None]).sum(axis=1))
        logprob_BT[:, place - len(prompt)] = logits_BV[np.arange(B), ids_BS[:, place]] - total_B
    return ids_BS[:, len(prompt) :], logprob_BT


def moving(model: Model, prompt: Sequence[int], uniform_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What follows a prompt in each text at a temperature of 1, and its logarithm of the probability, as `drawn` gives
    them; but texts have any length, and where the block is full, its window moves on by a token."""
    B, T = uniform_BT.shape
    ids_BT, logprob_BT = np.zeros((B, T), np.int64), np.zeros((B, T))
    for k in range(B):
        seen = [*prompt]
        for place in range(T):
            logits_V = sample.last_logits(model, seen[-model.spec.block_size :])
            token = Draw().choose(logits_V, seen, float(uniform_BT[k, place]))
            assert token is not None, "logits without slack decide"
            ids_BT[k, place], logprob_BT[k, place] = token, logits_V[token] - np.logaddexp.reduce(logits_V)
            seen.append(token)
    return ids_BT, logprob_BT


def _held_out(tokens: Tokens, prompt: Sequence[int], length: int) -> np.ndarray:
    """What follows the prompt where it comes in held-out text, in order, int64 [at most COUNT, length]; where it never
    does, text from evenly spaced places. No two of them share a token."""
    start, stop = tokens.spans["test" if "test" in tokens.spans else "val"]
    ids_N = tokens.windows(np.array([start]), stop - start)[0].astype(np.int64)
    last = len(ids_N) - len(prompt) - length
    if last < 0:
        return np.zeros((0, length), np.int64)
    windows_NP = np.lib.stride_tricks.sliding_window_view(ids_N[: last + len(prompt)], len(prompt))
    block = len(prompt) + length
    places = [-block]
    for place in np.flatnonzero((windows_NP == np.array(prompt)).all(axis=1)):
        if place >= places[-1] + block:
            places.append(int(place))
    places = places[1 : COUNT + 1] or np.linspace(0, last, min(COUNT, last // block + 1)).astype(np.int64).tolist()
    return ids_N[np.array(places)[:, None] + len(prompt) + np.arange(length)]


def _documents(ids: Sequence[int], codec: Tokenizer) -> list[str]:
    """The texts between the ends of documents."""
    parts: list[list[int]] = [[]]
    for token in ids:
        if token == codec.end:
            parts.append([])
        else:
            parts[-1].append(token)
    return [codec.decode(np.array(part, dtype=np.int64)) if part else "" for part in parts]


def _text(ids: Sequence[int], codec: Tokenizer, mark: str) -> str:
    return mark.join(_documents(ids, codec))


def _mark(spec: RunSpec) -> str:
    """What stands between documents."""
    known = corpora.REGISTRY.get(spec.data.corpus)
    return known.separator if known and known.separator else "\n\n"


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = log.read_manifest(folder)
    assert manifest is not None, "sample.load has read it"
    return manifest
