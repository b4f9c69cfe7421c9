"""`runner data`: loads corpora."""

from typing import Annotated

import typer

from runner.cli.display import Display
from runner.cli.terminal import console, say
from runner.data import corpora, openwebtext
from runner.errors import UserError
from runner.launch import fetch
from runner.plan import budget


def load_data(
    name: Annotated[
        str | None,
        typer.Argument(
            help="One corpus; all that packages suffice for if left out. openwebtext and stories need a hub."
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="Of openwebtext: webtext/64 (the default), gpt2/64, or a number such as 10M."),
    ] = None,
) -> None:
    """Load corpora into the cache and check their checksums. RUNNER_DATA names a folder to take them from, RUNNER_HUB
    another dataset hub."""
    if name == openwebtext.NAME:
        with Display(console) as display:
            fetch.load(budget.tokens(tokens or "webtext/64"), display.handle)
        return
    if tokens:
        raise UserError("--tokens is for openwebtext only: leave it out, as other corpora are loaded whole")
    if name is not None and name not in corpora.names():
        raise UserError(f"unknown corpus {name!r}; known: {', '.join((*corpora.names(), openwebtext.NAME))}")
    for corpus_name in [name] if name else corpora.CORPORA:
        text = corpora.load(corpus_name, say)
        say(
            f"{corpus_name}: {len(text):,} bytes, sha256 {corpora.fingerprint(corpus_name)[:12]}… verified, "
            f"in {corpora.place(corpus_name)}"
        )
