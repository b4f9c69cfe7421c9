import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from runner.data.tokenizers.bytes import Bytes
from runner.data.tokenizers.characters import Characters
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.tokenizer import Source
from runner.data.tokenizers.wordpiece import WordPiece
from runner.errors import UserError
from runner.models.gpt.network import GPT
from runner.models.gpt.spec import GPTSpec
from runner.models.protocol import Model
from runner.plan.spec import identity
from runner.training import sample
from runner.training.draw import Draw
from tests.runner.data.tokenizers.test_registry import SETTINGS, TEXT
from tests.toy import Toy, ToySpec

LETTERS = Characters("abcdefghijklm\n")


@pytest.fixture(scope="module")
def model(trained: Path):
    return sample.load(trained)


def lively(model: Model) -> Model:
    """Weights so large that what it says depends on what it reads."""
    model.init_weights(0)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(5 if p.ndim > 1 else 1)
    return model.eval()


def gpt(**more) -> Model:
    spec = {"n_layer": 2, "n_head": 2, "d_model": 16, "block_size": 24, **more}
    return lively(GPT(GPTSpec(**spec), LETTERS.vocabulary))


def test_a_sample_is_a_function_of_the_weights_and_the_seed(model):
    first = sample.generate(*model, "\n", 80, seed=0)
    assert first == sample.generate(*model, "\n", 80, seed=0)
    assert first != sample.generate(*model, "\n", 80, seed=1)
    assert first != sample.generate(*model, "\n", 80, seed=0, number=1), "each sample has its own stream"
    assert first.startswith("\n")
    assert len(first) == 81


def test_the_runs_own_sample_comes_out_again(model, trained):
    text = sample.generate(*model, "\n", 500, seed=0)
    assert (trained / "samples.txt").read_text() == text + "\n"


def test_the_likeliest_token_is_the_last_row_of_the_windows_logits(model):
    network, codec = model
    ids = codec.encode("A").tolist()
    with torch.no_grad():
        for _ in range(40):
            ids.append(int(network(torch.tensor([ids[-network.spec.block_size :]]))[0, -1].argmax()))
    assert sample.generate(*model, "A", 40, 5, draw=Draw(top_k=1)) == codec.decode(np.array(ids))


EVERYTHING = {"n_kv_head": 2, "n_head": 4, "qk_norm": True, "post_norm": True, "positions": "rotary"}
MODELS = {
    "learned": gpt,
    "rotary": lambda: gpt(positions="rotary"),
    "grouped": lambda: gpt(n_kv_head=1),
    "everything": lambda: gpt(**EVERYTHING, activation="swiglu", mlp_ratio=(3.0, 1.5)),
    "no cache of its own": lambda: lively(Toy(ToySpec(block_size=24), LETTERS.vocabulary)),
}
DRAWS = [Draw(), Draw(0.4, top_k=3), Draw(1.2, top_p=0.8, repetition_penalty=1.3)]


@pytest.mark.parametrize("kind", MODELS)
def test_the_cache_changes_no_text(kind):
    """Many seeds, prompts of any length, texts beyond the block, and windows that move by one token or by more."""
    model, texts = MODELS[kind](), set()
    for seed in range(24):
        prompt = ("abcdefghijklm" * 2)[: 1 + seed % 24]
        draw, stride, length = DRAWS[seed % 3], (1, 2, 12, 24)[seed % 4], (5, 23, 90)[seed // 3 % 3]
        with_it, without = (
            sample.generate(model, LETTERS, prompt, length, seed, draw=draw, stride=stride, cache=cache)
            for cache in (True, False)
        )
        assert with_it == without
        assert len(with_it) == len(prompt) + length
        texts.add(with_it)
    assert len(texts) == 24


def strayed(model: Model, by: float) -> Model:
    """The model with a cache whose logits lie off, each by so much in either direction."""
    decode, random = model.decode, torch.Generator().manual_seed(0)

    def worse(x_BT, cache=None):
        logits_BV, cache = decode(x_BT, cache)
        return logits_BV + by * (2 * torch.randint(2, logits_BV.shape, generator=random) - 1), cache

    model.decode = worse
    return model


def test_roundings_within_the_tolerance_change_no_text(monkeypatch):
    """Where the tolerance is large the cache's logits are of little use, but never wrong; beyond it they would be."""
    monkeypatch.setattr(sample, "TOLERANCE", 0.1)
    alike, apart = 0, 0
    for seed in range(20):
        for by, counted in ((0.02, True), (3.0, False)):
            model = strayed(gpt(), by)
            same = len({sample.generate(model, LETTERS, "a", 60, seed, cache=cache) for cache in (True, False)}) == 1
            alike, apart = alike + (counted and same), apart + (not counted and not same)
    assert alike == 20
    assert apart > 0


def test_a_cache_that_strays_is_left_alone(monkeypatch):
    monkeypatch.setattr(sample, "TOLERANCE", 0.1)  # so that the first doubt comes soon
    for by, left in ((0.02, False), (0.5, True)):
        model, calls = strayed(gpt(), by), []
        decode = model.decode
        model.decode = lambda *args, decode=decode, calls=calls: calls.append(1) or decode(*args)
        sample.generate(model, LETTERS, "a", 200, 0, stride=12)
        assert (len(calls) < 200) == left


def test_products_in_bfloat16_are_never_read_from_a_cache(monkeypatch):
    model = GPT(GPTSpec(n_layer=1, n_head=2, d_model=16, block_size=24), LETTERS.vocabulary, torch.bfloat16)
    model.init_weights(0)
    monkeypatch.setattr(GPT, "decode", None)
    assert len(sample.generate(model, LETTERS, "a", 30, 0)) == 31


def test_the_window_moves_by_the_stride_when_it_is_full(monkeypatch):
    model, read = gpt(), []
    forward = GPT.forward
    monkeypatch.setattr(GPT, "forward", lambda self, x_BT: read.append(x_BT.shape[1]) or forward(self, x_BT))
    sample.generate(model, LETTERS, "a" * 22, 8, 0, cache=False)
    assert read == [22, 23, 24, 24, 24, 24, 24, 24]
    read.clear()
    sample.generate(model, LETTERS, "a" * 22, 8, 0, stride=3, cache=False)
    assert read == [22, 23, 24, 22, 23, 24, 22, 23]


def test_with_a_cache_a_token_is_read_once(monkeypatch):
    model, read = gpt(), []
    decode = GPT.decode
    monkeypatch.setattr(
        GPT, "decode", lambda self, x_BT, cache: read.append(x_BT.shape[1]) or decode(self, x_BT, cache)
    )
    sample.generate(model, LETTERS, "a" * 20, 8, 0, stride=12)
    assert read == [20, 1, 1, 1, 1, 13, 1, 1]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pieces_are_the_text_of_all_tokens(name):
    codec, random = TOKENIZERS[name].of(Source(TEXT, TEXT, SETTINGS.get(name))), np.random.default_rng(0)
    for attempt in range(30):
        if attempt % 2:  # whatever a model may say, whole characters or not
            ids = random.integers(codec.vocabulary, size=60)
        else:
            ids = codec.encode(TEXT[7 * attempt : 7 * attempt + 90]).astype(np.int64)
        pieces = list(sample._pieces(codec, ids[:2].tolist(), iter(ids[2:].tolist())))
        assert "".join(pieces) == codec.decode(ids)
        assert "" not in pieces[1:]


def test_a_character_is_shown_with_its_last_byte_and_no_later():
    codec = Bytes()
    ids = codec.encode("a東b🙂c").tolist()
    waits = []
    pieces = sample._pieces(codec, ids[:1], (waits.append(i) or i for i in ids[1:]))
    assert [(piece, len(waits)) for piece in pieces] == [("a", 0), ("東", 3), ("b", 4), ("🙂", 8), ("c", 9)]
    broken = [97, *[0x9F] * 6, 98, 0xF0, 0x9F]
    assert list(sample._pieces(codec, broken[:1], iter(broken[1:]))) == ["a", *"���", "���b", "�"]


def test_documents_are_shown_apart():
    codec = TOKENIZERS["sentencepiece"].of(Source(TEXT, TEXT, SETTINGS["sentencepiece"]))
    first, second = (codec.encode(part).tolist() for part in (TEXT[:40], TEXT[40:90]))
    ids = [*first, codec.end, codec.end, *second, codec.end]
    shown = "".join(sample._pieces(codec, ids[:2], iter(ids[2:]), " | "))
    assert shown == " | ".join([codec.decode(np.array(first)), "", codec.decode(np.array(second)), ""])
    assert "".join(sample._pieces(codec, ids[:2], iter(ids[2:]))) == codec.decode(np.array(ids))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"draw": Draw(temperature=0)}, "temperature 0 must be at least 0.001"),
        ({"stride": 0}, "stride 0 must be at least 1 and at most 32"),
        ({"stride": 33}, "stride 33 must be at least 1 and at most 32"),
    ],
)
def test_bad_settings_are_named_before_a_token_is_drawn(model, more, message):
    with pytest.raises(UserError, match=message):
        sample.stream(*model, "A", 5, 0, **more)


@pytest.mark.parametrize(
    ("length", "seed", "message"), [(0, 0, "length 0 must be at least 1"), (5, -1, "seed -1 must")]
)
def test_a_length_and_a_seed_that_cannot_be_are_named(model, length, seed, message):
    with pytest.raises(UserError, match=message):
        sample.stream(*model, "A", length, seed)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt '' gives no tokens: give at least one character whose token stands for text"),
        ("é", "the model does not know the characters 'é'"),
        ("a\udcff", r"the prompt 'a\\udcff' is no text: give it in UTF-8"),
        ("a" * 33, "the prompt has 33 tokens, and the model reads 32 at most: shorten it"),
    ],
)
def test_bad_prompts_are_named(model, prompt, message):
    with pytest.raises(UserError, match=message):
        sample.stream(*model, prompt, 5, 0)


def test_a_prompt_that_a_vocabulary_cannot_spell_is_named():
    model = GPT(GPTSpec(n_layer=1, n_head=1, d_model=2, block_size=8), WordPiece.vocabulary)
    with pytest.raises(
        UserError, match=r"the model's vocabulary cannot spell '🙂', which gives tokens of size 0 .*: leave it out"
    ):
        sample.stream(model, WordPiece(), "the king 🙂", 5, 0)
    with pytest.raises(UserError, match="the prompt '  ' gives no tokens"):
        sample.stream(model, WordPiece(), "  ", 5, 0)


def test_a_prompt_of_blanks_whose_tokens_have_size_0_is_named(monkeypatch):
    monkeypatch.setattr(Characters, "sizes", lambda self: np.zeros(self.vocabulary, dtype=np.int64))
    with pytest.raises(UserError, match=r"cannot spell '\\n', which gives tokens of size 0"):
        sample.stream(gpt(), LETTERS, "\n", 5, 0)


def test_a_model_that_gives_no_numbers_is_named():
    model = gpt()
    with torch.no_grad():
        model.norm.fill_(torch.nan)
    with pytest.raises(UserError, match="no finite logits"):
        sample.generate(model, LETTERS, "a", 5, 0)


def changed(trained: Path, tmp_path: Path, **data) -> Path:
    """A copy of the run whose manifest says that it was trained on other data."""
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"]["data"].update(data)
    manifest["identity"] = identity(manifest["spec"], manifest["corpus"]["sha256"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_folders_that_cannot_be_sampled_are_named(trained, tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        sample.load(tmp_path)
    data = {"corpus": "none", "task": "arithmetic", "train": [0, 100], "val": [100, 169], "test": None}
    folder = changed(trained, tmp_path, **data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"]["model"]["block_size"] = 4
    manifest["identity"] = identity(manifest["spec"], manifest["corpus"]["sha256"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match='trained on task = "arithmetic", whose models predict an answer and no next'):
        sample.load(folder)


def test_a_run_without_a_checkpoint_is_named_before_its_data_are_looked_for(trained, tmp_path):
    folder = changed(trained, tmp_path, corpus="stories-10k", unit="characters", tokenizer="bytes")
    shutil.rmtree(folder / "checkpoint")
    with pytest.raises(UserError, match=r"run/checkpoint does not exist: train the run here first"):
        sample.load(folder)
