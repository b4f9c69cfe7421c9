"""Text from a trained model."""

from pathlib import Path

import numpy as np
import torch

from runner.data import dataset
from runner.data.tokens import Tokens
from runner.errors import UserError
from runner.evidence import checkpoint, log
from runner.models import registry
from runner.models.protocol import Model
from runner.plan.spec import from_dict

STREAM = 2**32  # apart from those of runner.data.dataset, so that a sample never shares words with a batch


def load(folder: Path) -> tuple[Model, Tokens]:
    """The model that a run trained, as far as it came, and the tokens it knows."""
    manifest = log.read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder} holds no run: name a run's folder, such as runs/mlp-ratio/laptop/r4-s0")
    spec = from_dict(manifest["spec"], f"{folder / 'manifest.json'}")
    tokens = dataset.load(spec.data)
    tokens.check(manifest["corpus"], str(folder))
    model: Model = registry.network(spec.model.kind)(spec.model, tokens.vocabulary)
    state = checkpoint.weights(folder / "checkpoint", manifest["identity"])
    model.load_state_dict({name: state[f"model.{name}"] for name in model.state_dict()})
    return model.eval(), tokens


@torch.no_grad()
def generate(
    model: Model,
    tokens: Tokens,
    prompt: str,
    length: int,
    seed: int,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> str:
    """`prompt` and `length` characters that the model adds to it, a function of the weights and the seed.

    A temperature of 0 always takes the likeliest character. Raises `UserError` for a character that the model
    does not know, a negative temperature or an empty prompt.
    """
    if temperature < 0 or not np.isfinite(temperature):
        raise UserError(f"temperature {temperature:g} must not be negative; 0.8 to 1 reads best")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k {top_k} must be at least 1")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed {seed} must be at least 0 and below 2**32")
    if not prompt:
        raise UserError("the prompt is empty: give at least one character")
    device, block = next(model.parameters()).device, model.spec.block_size
    words = np.random.Philox(key=seed, counter=[0, 0, STREAM, 0]).random_raw(length)
    uniform = (words >> np.uint64(11)) * 2.0**-53
    ids = tokens.codec.encode(prompt).astype(np.int64).tolist()
    for u in uniform:
        x_BT = torch.tensor([ids[-block:]], device=device)
        logits_V = model(x_BT)[0, -1].double().cpu().numpy()
        ids.append(_draw(logits_V, float(u), temperature, top_k))
    return tokens.codec.decode(np.array(ids))


def _draw(logits_V: np.ndarray, u: float, temperature: float, top_k: int | None) -> int:
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k is not None and top_k < len(logits_V):
        logits_V = np.where(logits_V < np.partition(logits_V, -top_k)[-top_k], -np.inf, logits_V)
    odds = np.exp((logits_V - logits_V.max()) / temperature)
    edges = np.cumsum(odds)
    return int(np.searchsorted(edges, u * edges[-1], side="right").clip(0, len(edges) - 1))
