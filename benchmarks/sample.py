"""Measure how fast text is drawn, with the cache and without: `python -m benchmarks.sample`.

Both are what `runner sample` does, on its one thread, and draw the very same text: their time is taken in turn. The
weights are untrained, which is the harder case: the odds of all characters are close to each other, so that the cache
leaves more of the draws to the whole window.
"""

import statistics
from functools import partial

import torch
from rich.console import Console

from benchmarks.results import Columns, Row, report
from benchmarks.stepper import LAPTOP, PAPER, VOCAB, alternate
from runner.data.tokenizers.characters import Characters
from runner.models.gpt.network import GPT
from runner.models.gpt.spec import GPTSpec
from runner.training import sample

TOKENS, ROUNDS, SPARE = 256, 5, 5
WINDOW, CACHE = "the whole window", "with a cache"
CODEC = Characters("".join(map(chr, range(32, 32 + VOCAB))))


def measure(name: str, spec: GPTSpec, stride: int) -> list[Row]:
    """A row for each way."""
    model = GPT(spec, VOCAB)
    model.init_weights(0)
    draw = partial(sample.generate, model.eval(), CODEC, " ", TOKENS, seed=0, stride=stride)
    if draw(cache=True) != draw(cache=False):
        raise SystemExit(f"{name}: the cache gives another text than the whole window")
    actions = {WINDOW: partial(draw, cache=False), CACHE: partial(draw, cache=True)}
    seconds, others = alternate(actions, ROUNDS, SPARE)
    return [
        {
            "model": name, "what": what, "seconds": statistics.median(seconds[what]), "tokens": TOKENS,
            "tokens_per_second": TOKENS / statistics.median(seconds[what]),
            "speedup": statistics.median(w / s for w, s in zip(seconds[WINDOW], seconds[what], strict=True)),
            "others": others, "rounds": ROUNDS,
        }
        for what in actions
    ]  # fmt: skip


COLUMNS: Columns = {
    "model": lambda r: r["model"],
    "what": lambda r: r["what"],
    "s": lambda r: f"{r['seconds']:.2f}",
    "tokens/s": lambda r: f"{r['tokens_per_second']:,.0f}",
    "times faster": lambda r: f"{r['speedup']:.1f}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}


def main() -> None:
    torch.set_num_threads(1)
    rows = [*measure("paper", PAPER[0], 1), *measure("laptop", LAPTOP[0], LAPTOP[0].block_size // 2)]
    report("sample", f"{TOKENS} tokens of text, medians of {ROUNDS} in turn", rows, COLUMNS, Console())


if __name__ == "__main__":
    main()
