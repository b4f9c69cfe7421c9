"""Text from a trained model.

A text is a function of the weights and the seed. The model reads the window before each token: all of the text while
it fits into the block; after that the window moves on, `stride` tokens at a time. The token is drawn from the logits
that `Model.forward` gives for the window. `Model.decode` gives the same in less time, but for roundings, from what it
has kept of the tokens before. So its logits decide where all logits within `TOLERANCE` of them would give the same
token, and `forward` is asked where they would not: with and without the cache, the text is the same.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner.data import dataset
from runner.data.tasks.registry import TASKS
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.errors import UserError
from runner.evidence import checkpoint, log
from runner.models import registry
from runner.models.protocol import Model
from runner.plan.spec import from_dict
from runner.training.draw import Draw

STREAM = 2**32  # apart from those of runner.data.order, so that a sample never shares words with a batch
TOLERANCE = 1e-4  # of a logit; float32 strays by about 1e-5 in trained models, bfloat16 by too much to be of use
CUT = 3  # bytes of a character at most that can be there without its last one


def load(folder: Path) -> tuple[Model, Tokenizer]:
    """The model that a run trained, as far as it came, and its tokenizer. A `UserError` where there is none, or where
    what it predicts is no next token."""
    manifest = log.read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder} holds no run: name a run's folder, such as runs/mlp-ratio/laptop/r4-s0")
    spec = from_dict(manifest["spec"], f"{folder / 'manifest.json'}")
    if not TASKS[spec.data.task].continues:
        known = ", ".join(name for name, task in TASKS.items() if task.continues)
        raise UserError(
            f'{folder} was trained on task = "{spec.data.task}", whose models predict an answer and no next token: '
            f"name a run of another task ({known})"
        )
    state = checkpoint.weights(folder / "checkpoint", manifest["identity"])
    codec = dataset.codec(spec.data)
    codec.check(manifest["corpus"], str(folder))
    model: Model = registry.network(spec.model.kind)(spec.model, codec.vocabulary)
    model.load_state_dict({name: state[f"model.{name}"] for name in model.state_dict()})
    return model.eval(), codec


def generate(model: Model, codec: Tokenizer, prompt: str, length: int, seed: int, **more: Any) -> str:
    """`prompt` and `length` tokens that the model adds to it, as one text; see `stream`."""
    return "".join(stream(model, codec, prompt, length, seed, **more))


def stream(
    model: Model,
    codec: Tokenizer,
    prompt: str,
    length: int,
    seed: int,
    number: int = 0,
    draw: Draw | None = None,
    stride: int = 1,
    cache: bool = True,
    between: str = "",
) -> Iterator[str]:
    """`prompt` and `length` tokens that the model adds to it, in pieces that are there as soon as they are text.

    number  of the sample: each has its own stream of the seed
    draw    how a token is drawn; from all of them, by their odds, unless given
    stride  tokens by which the window moves on when it is full: with 1 the model always reads all that it can, but a
            cache is of no use beyond the block; with half of the block it reads at least half of what it can
    cache   ask `decode` where its products are float32; no text depends on it
    between what is shown where a document ends

    Raises `UserError` for settings that cannot be, and for a prompt without a token, with characters that the model
    does not know, or longer than the block.
    """
    draw, block = draw or Draw(), model.spec.block_size
    draw.check()
    for name, value, most in (("length", length, None), ("stride", stride, block), ("seed", seed, 2**32 - 1)):
        least = 0 if name == "seed" else 1
        if value < least or (most is not None and value > most):
            above = f" and at most {most}" if most is not None else ""
            raise UserError(f"{name} {value} must be at least {least}{above}")
    ids = encoded(prompt, codec, block)
    return _pieces(codec, ids, _tokens(model, ids, uniform(seed, number, length), draw, stride, cache), between)


def uniform(seed: int, number: int, length: int) -> np.ndarray:
    """What decides the tokens of a sample: numbers from [0, 1), float64 [length]."""
    words = np.random.Philox(key=seed, counter=[0, number, STREAM, 0]).random_raw(length)
    return (words >> np.uint64(11)) * 2.0**-53


def encoded(prompt: str, codec: Tokenizer, block: int) -> list[int]:
    """The tokens of a prompt that a model can go on from."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UserError(f"the prompt {prompt!r} is no text: give it in UTF-8") from None
    ids = codec.encode(prompt)
    if not len(ids):
        raise UserError(
            f"the prompt {prompt!r} gives no tokens: give at least one character whose token stands for text (its size "
            "is above 0)"
        )
    mute_V = codec.sizes() == 0
    if mute_V[ids].any():
        words = [word for word in prompt.split() if mute_V[codec.encode(word)].any()]
        raise UserError(
            f"the model's vocabulary cannot spell {' '.join(map(repr, words or [prompt]))}, which gives tokens of size "
            "0 (they stand for no text): leave it out of the prompt"
        )
    if len(ids) > block:
        raise UserError(f"the prompt has {len(ids)} tokens, and the model reads {block} at most: shorten it")
    return ids.astype(np.int64).tolist()


@torch.no_grad()
def _tokens(model: Model, ids: list[int], uniform: np.ndarray, draw: Draw, stride: int, cached: bool) -> Iterator[int]:
    """The tokens that follow `ids`, one for each uniform number."""
    device, block = next(model.parameters()).device, model.spec.block_size
    ids, begin = [*ids], 0
    cache, held = None, 0  # the model's cache of the window, and how many of its tokens are in it
    cached = cached and model.ops.dtype in (torch.float32, torch.float64)
    for u in uniform:
        if len(ids) - begin > block:
            cache, held, begin = None, 0, len(ids) - block + stride - 1
        token = near_V = None
        if cached and (held or len(ids) - begin < block):  # the cache of a full window would not be used again
            logits_BV, cache = model.decode(torch.tensor([ids[begin + held :]], device=device), cache)
            near_V, held = _plain(logits_BV), len(ids) - begin
            token = draw.choose(near_V, ids, float(u), TOLERANCE)
        if token is None:
            logits_V = last_logits(model, ids[begin:])
            # Where a model's roundings grow too large, its cache is not used from there on.
            cached = cached and (near_V is None or float(abs(near_V - logits_V).max()) < TOLERANCE / 4)
            token = draw.choose(logits_V, ids, float(u))
            assert token is not None
        ids.append(token)
        yield token


@torch.no_grad()
def last_logits(model: Model, ids: list[int]) -> np.ndarray:
    """The logits of the token after `ids`, [V], from all of them; a `UserError` where they are not finite."""
    logits_V = _plain(model(torch.tensor([ids], device=next(model.parameters()).device))[:, -1])
    if not np.isfinite(logits_V).all():
        raise UserError("the model gives no finite logits, so no token can be drawn: take a run that learnt")
    return logits_V


def _plain(logits_BV: Tensor) -> np.ndarray:
    return logits_BV[0].double().cpu().numpy()


def _pieces(codec: Tokenizer, ids: list[int], more: Iterator[int], between: str = "") -> Iterator[str]:
    """The text of `ids`, then what each token adds to it, and `between` where a document ends. A character waits for
    its last byte."""
    ids, before, now, shown = [*ids], 0, 0, 0  # where the tokens of the last piece begin, and those of the next
    for new in chain([()], ((token,) for token in more)):
        if between and codec.end in new:
            yield codec.decode(np.array(ids[before:]))[shown:] + between
            ids, before, now, shown = [], 0, 0, 0
            continue
        ids += new
        text = codec.decode(np.array(ids[before:]))  # a tokenizer may need the last piece to know of a space
        whole = len(text) - min(CUT, len(text) - len(text.rstrip("\ufffd")))
        if whole > shown:
            yield text[shown:whole]
            shown = whole
        if shown == len(text):
            before, now = now, len(ids)
            shown = len(codec.decode(np.array(ids[before:])))
    if rest := codec.decode(np.array(ids[before:]))[shown:]:
        yield rest
