"""A model's token embedding as evidence: the vectors, what they stand for, and how often the model read that."""

import numpy as np
import pyarrow as pa

from runner.data.tokens import Tokens
from runner.evidence import log
from runner.models.protocol import Model

READ = 1 << 22  # tokens that are counted at once


def table(model: Model, tokens: Tokens) -> pa.Table:
    """A row a token, with the columns that `runner.evidence.log` names."""
    vectors_VD = model.embedding()
    assert vectors_VD is not None, f"kind {model.spec.kind} has no embedding"
    half_VD = vectors_VD.detach().cpu().numpy().astype(np.float16)
    rows = [
        {"text": tokens.codec.decode(np.array([token])), "times": int(times), "vector": vector}
        for token, (times, vector) in enumerate(zip(_times(tokens), half_VD, strict=True))
    ]
    return log.table(rows, log.EMBEDDING)


def _times(tokens: Tokens) -> np.ndarray:
    """How often each token comes in the training split, int64 [V]."""
    start, stop = tokens.spans["train"]
    times = np.zeros(tokens.vocabulary, dtype=np.int64)
    for begin in range(start, stop, READ):
        part = tokens.windows(np.array([begin]), min(READ, stop - begin))[0]
        times += np.bincount(part, minlength=tokens.vocabulary)
    return times
