import hashlib
from pathlib import Path

import pytest

from runner.data.tokenizers import gpt2, p50k
from runner.data.tokenizers.p50k import P50k
from runner.errors import UserError


def test_it_is_gpt2_with_runs_of_spaces():
    codec = P50k()
    assert codec.encode("hello world").tolist() == gpt2.encode("hello world").tolist()
    assert codec.encode("      x").tolist() == [50260, 2124]
    assert codec.encode(" " * 25).tolist() == [50280]
    assert codec.sizes()[50257:].tolist() == list(range(2, 26))


def test_its_file_is_made_without_a_network_and_again_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    gpt2.encoding()
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    monkeypatch.setattr("tiktoken.load.read_file", lambda address: pytest.fail(f"asked for {address}"))
    for _ in range(2):
        assert p50k.encoding.__wrapped__().n_vocab == P50k.vocabulary == 50_281
        (path,) = (tmp_path / "tiktoken").iterdir()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == p50k.SHA256
        path.write_bytes(b"damaged")


def test_another_vocabulary_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(p50k, "SPACES", range(2, 25))
    with pytest.raises(UserError, match=f"p50k_base made from GPT-2's files has sha256 .*, not {p50k.SHA256}"):
        p50k._file()
