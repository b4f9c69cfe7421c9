import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from runner.cli.runs import draw_samples
from runner.data.measures import distinct, repeated
from runner.data.tokenizers.bytes import Bytes
from runner.data.tokens import Tokens
from runner.errors import UserError
from runner.evidence import archive, log
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.training import sample, samples
from runner.training.draw import Draw
from tests.conftest import train_here


@pytest.fixture(scope="module")
def plan() -> Plan:
    planned = experiment.load("mini-gpt").plans("smoke")[0]
    return replace(planned, placement={"samples": True})


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that leaves samples; not to be written to."""
    root = tmp_path_factory.mktemp("runs")
    assert train_here(plan, root) == "finished"
    return plan.folder(root)


def test_a_run_that_is_asked_leaves_samples_beside_the_same_numbers(plan: Plan, folder: Path, tmp_path: Path):
    plain = replace(plan, placement={})
    assert train_here(plain, tmp_path) == "finished"
    asked, other = log.read_run(folder), log.read_run(plain.folder(tmp_path))
    assert asked.metrics().equals(other.metrics())
    assert (asked.path / "samples.txt").read_bytes() == (other.path / "samples.txt").read_bytes()
    assert "samples.parquet" in asked.manifest["files"]
    assert "samples.parquet" not in other.manifest["files"]
    assert other.samples().num_rows == 0
    log.check(asked)


def test_each_text_is_what_runner_sample_draws(plan: Plan, folder: Path):
    model, codec = sample.load(folder)
    prompt, length = samples.begin(plan.spec, codec)
    frame = log.read_run(folder).samples().to_pandas()
    drawn = frame[frame.temperature.notna()]
    assert drawn.groupby("temperature").size().to_dict() == dict.fromkeys(samples.TEMPERATURES, samples.COUNT)
    for row in drawn[drawn.number.isin([0, 7, 31])].itertuples():
        text = sample.generate(model, codec, codec.decode(np.array(prompt)), length, 0, number=row.number,
                               draw=Draw(row.temperature), cache=False)  # fmt: skip
        assert text == row.text
        assert codec.decode(np.array([*prompt, *row.tokens])) == row.text


def test_what_is_measured_of_the_rows(plan: Plan, folder: Path):
    model, codec = sample.load(folder)
    prompt, _ = samples.begin(plan.spec, codec)
    frame = log.read_run(folder).samples().to_pandas()
    hot = frame[frame.temperature == 1.2]
    texts = [[*prompt, *tokens] for tokens in hot.tokens]
    assert np.allclose(np.stack(hot.distinct), distinct(texts, len(prompt)))
    assert np.allclose(np.stack(hot.repeated), [repeated(ids, len(prompt)) for ids in texts])
    with torch.no_grad():
        logits = torch.log_softmax(model(torch.tensor(texts))[:, len(prompt) - 1 : -1].double(), dim=-1)
    given = logits.gather(-1, torch.tensor([ids[len(prompt) :] for ids in texts])[..., None])[..., 0].numpy()
    assert np.allclose(np.stack(hot.logprob).astype(float), given, rtol=2e-3)
    assert hot.words.min() > 0
    assert (hot.unknown <= hot.words).all()
    assert (hot.kept <= hot.mentions).all()


def test_held_out_text_leaves_its_measures_and_not_its_words(plan: Plan, folder: Path):
    frame = log.read_run(folder).samples().to_pandas()
    kept = frame[frame.temperature.isna()]
    assert 1 <= len(kept) <= samples.COUNT
    assert kept.text.isna().all()
    assert kept.tokens.isna().all()
    assert {len(values) for values in frame.logprob} == {32 - len(samples.begin(plan.spec, sample.load(folder)[1])[0])}


def test_held_out_texts_begin_like_the_samples():
    ids = np.arange(1000)
    ids[[100, 110, 130, 990]] = 7
    tokens = Tokens(ids, Bytes(), {"train": (0, 50), "test": (50, 1000)})
    found = samples._held_out(tokens, [7], 19)
    assert found[:, 0].tolist() == [101, 131], "no two share a token, and the last one is cut off"
    assert (np.diff(found) == 1)[:, :18].mean() > 0.9
    spaced = samples._held_out(tokens, [8, 9], 28)
    assert len(spaced) == 31, "evenly spaced where the prompt never comes"
    assert np.diff(spaced[:, 0]).min() >= 30
    assert len(samples._held_out(tokens, [8, 9], 4)) == samples.COUNT
    assert samples._held_out(tokens, [7], 10**6).shape == (0, 10**6)


def test_samples_of_an_ended_run_are_attached_to_it(plan: Plan, folder: Path, tmp_path: Path):
    plain = replace(plan, placement={})
    assert train_here(plain, tmp_path) == "finished"
    run = log.read_run(plain.folder(tmp_path))
    before = dict(run.manifest["files"])
    run.attach("samples.parquet", samples.table(run.path))
    again = log.read_run(run.path)
    log.check(again)
    assert {name: sha for name, sha in again.manifest["files"].items() if name != "samples.parquet"} == before
    assert (run.path / "samples.parquet").read_bytes() == (folder / "samples.parquet").read_bytes()
    assert archive.publish([again], tmp_path / "logs") == [tmp_path / "logs" / "mini-gpt" / "smoke" / plain.name]
    assert (tmp_path / "logs" / "mini-gpt" / "smoke" / plain.name / "samples.parquet").is_file()


def test_samples_are_drawn_again_and_compared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    copy = tmp_path / "mini-gpt" / "smoke" / folder.name
    shutil.copytree(folder, copy)
    draw_samples(copy)
    assert "drawn again at 0.5, 0.8, 1, 1.2: identical" in capsys.readouterr().out
    run = log.read_run(copy)
    run.attach("samples.parquet", run.samples().slice(1))
    with pytest.raises(typer.Exit):
        draw_samples(copy)
    assert "different" in capsys.readouterr().out
    (copy / "samples.parquet").unlink()
    with pytest.raises(UserError, match=r"samples\.parquet is missing"):
        draw_samples(copy)


def test_one_text_after_token_0_is_drawn_instead(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is longer than the block, and token 0 need not stand for any text: here it is sentencepiece's <unk>."""
    asked = replace(plan, placement={"from_token_0": 40})
    assert train_here(asked, tmp_path) == "finished"
    run = log.read_run(asked.folder(tmp_path))
    log.check(run)
    (row,) = run.samples().to_pylist()
    assert (row["temperature"], row["number"], len(row["tokens"]), len(row["logprob"])) == (1.0, 0, 40, 40)
    model, codec = sample.load(run.path)
    assert codec.sizes()[0] == 0
    assert row["text"] == codec.decode(np.array([0, *row["tokens"]]))
    uniform = sample.uniform(plan.spec.seed, 0, 40)
    assert row["tokens"] == list(sample._tokens(model, [0], uniform, Draw(), 1, True))
    for place in (0, 39):
        logits_V = sample.last_logits(model, [0, *row["tokens"][:place]][-32:])
        given = torch.log_softmax(torch.from_numpy(logits_V), 0)[row["tokens"][place]]
        assert row["logprob"][place] == pytest.approx(float(given), rel=2e-3)
    draw_samples(run.path)
    assert "1 text drawn again at 1: identical" in capsys.readouterr().out
    with pytest.raises(UserError, match="has other samples than one text of 50 tokens after token 0"):
        draw_samples(run.path, 50)


def test_a_text_after_token_0_is_attached_to_an_ended_run(plan: Plan, tmp_path: Path):
    plain = replace(plan, placement={})
    assert train_here(plain, tmp_path) == "finished"
    folder = plain.folder(tmp_path)
    with pytest.raises(UserError, match="--from-token-0 0 must be at least 1: it is the number of tokens to draw"):
        draw_samples(folder, 0)
    draw_samples(folder, 40)
    assert [len(tokens) for tokens in log.read_run(folder).samples().to_pandas().tokens] == [40]


def test_two_kinds_of_samples_are_refused_before_training(plan: Plan, tmp_path: Path):
    both = replace(plan, placement={"samples": True, "from_token_0": 40})
    with pytest.raises(UserError, match=r"placement\.samples and placement\.from_token_0 ask for two kinds of samples"):
        train_here(both, tmp_path)
    assert not (plan.folder(tmp_path) / "manifest.json").exists()


def test_a_prompt_that_fills_the_block_is_refused_before_training(plan: Plan, tmp_path: Path):
    spec = replace(plan.spec, model=replace(plan.spec.model, block_size=1))
    with pytest.raises(UserError, match=r"fills the block of 1: take placement\.samples out"):
        train_here(replace(plan, spec=spec), tmp_path)
    assert not (plan.folder(tmp_path) / "manifest.json").exists()
