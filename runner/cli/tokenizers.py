"""`runner tokenizer`: what an experiment's tokenizer is, and what it makes of its text."""

from typing import Annotated

import typer

from runner.cli import options
from runner.cli.terminal import say
from runner.data import dataset, openwebtext
from runner.data.tasks.registry import TASKS
from runner.data.tokenizers import sentencepiece
from runner.data.tokenizers.report import Split, report
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.errors import UserError
from runner.launch import fetch
from runner.launch.events import Line
from runner.plan import experiment, presets


def show_tokenizer(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="The experiment, such as mini-gpt.")],
    profile: options.Profile = options.PROFILE,
    settings: options.Settings = None,
) -> None:
    """Report on an experiment's tokenizer, which is trained first where it has to be: the size of its vocabulary, the
    longest tokens, and for each split bytes per token, the share of the vocabulary that is used, the coverage of
    characters, the share of tokens that spell other characters in bytes, and whether decoding gives the text back."""
    if name in presets.CONFIGS:
        raise UserError(f"{name!r} is a model, not an experiment: name an experiment, such as mini-gpt")
    loaded = experiment.load(name)
    fetch.preferred(loaded, profile, lambda event: say(event.text) if isinstance(event, Line) else None)
    spec = loaded.variant(profile, options.settings(settings or [], loaded.axes_of(profile)), 0).spec.data
    if TASKS[spec.task].generated:
        raise UserError(f'{loaded.name} reads no text (corpus = "{spec.corpus}"): it has no tokenizer to report on')
    if spec.corpus == openwebtext.NAME:
        raise UserError(
            f"{loaded.name}, {profile} profile, reads {spec.corpus} as shards of GPT-2's tokens, of which there is no "
            "text to report on: name another experiment or profile"
        )
    codec, texts = dataset.tokenizer(spec), dataset.texts(spec)
    found = report(codec, texts)
    say(f"{spec.tokenizer} for {spec.corpus}: {found.vocabulary:,} tokens{_where(codec)}")
    say(f"longest: {', '.join(map(repr, found.longest))}")
    for split, seen in found.splits.items():
        for line in _lines(split, seen):
            say(line)


def _where(codec: Tokenizer) -> str:
    """Where one that is trained is kept, and the checksum of its content."""
    if not isinstance(codec, sentencepiece.SentencePiece):
        return ""
    return f", sha256 {codec.fingerprint}, in {sentencepiece.folder()}"


def _lines(name: str, seen: Split) -> list[str]:
    return [
        f"{name}: {seen.tokens:,} tokens of {seen.bytes:,} bytes, {seen.bytes_per_token:.3f} bytes a token; "
        f"{seen.used:.1%} of the vocabulary comes; "
        + ("its text comes back from its tokens" if seen.round_trip else "its text does not come back whole"),
        f"  coverage: {seen.coverage:.4%} of {seen.characters:,} characters; {seen.fallback:.4%} of the tokens spell "
        "the others in bytes" + (f": {_counted(seen.uncovered)}" if seen.uncovered else ""),
        f"  longest: {_counted(seen.longest)}",
    ]


def _counted(texts: dict[str, int]) -> str:
    return ", ".join(f"{text!r} {times:,}" for text, times in texts.items())
