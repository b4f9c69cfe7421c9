import pytest

from runner.data.tokenizers.characters import Characters
from runner.errors import UserError


def test_another_vocabulary_or_tokenizer_is_named():
    codec = Characters("aé.")
    codec.check({"vocabulary": 3}, "runs/a")
    with pytest.raises(UserError, match="runs/a was trained on tokens with vocabulary 4, and here they have 3: use"):
        codec.check({"vocabulary": 4}, "runs/a")
    with pytest.raises(UserError, match="runs/a was trained on tokens with tokenizer_sha256 0f, and here they have No"):
        codec.check({"vocabulary": 3, "tokenizer_sha256": "0f"}, "runs/a")
