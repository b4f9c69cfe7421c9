from dataclasses import replace

import numpy as np
import pytest

from runner.data.tokenizers.characters import Characters
from runner.data.tokens import Tokens

TOKENS = Tokens(np.array([0, 1, 2, 2], dtype=np.uint8), Characters("aé."), {"train": (0, 2), "val": (1, 4)})


def test_windows_begin_where_they_are_told():
    assert TOKENS.windows(np.array([0, 2]), 2).tolist() == [[0, 1], [2, 2]]


def test_bytes_are_counted_by_token_or_known_of_a_split():
    assert TOKENS.bytes_per_token(["train", "val"]) == {"train": 1, "val": pytest.approx(5 / 3)}
    assert replace(TOKENS, bytes={"train": 6, "val": 6}).bytes_per_token(["val"]) == {"val": 2}
