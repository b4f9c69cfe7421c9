"""`runner data`: corpora."""

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
        str | None, typer.Argument(help="A corpus; the small ones unless named. openwebtext comes from a hub.")
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="How much of openwebtext: webtext/64 (unless named), gpt2/64, or a number such as 10M."),
    ] = None,
) -> None:
    """Get the corpora, and check them. RUNNER_DATA names a folder that has them, RUNNER_HUB another dataset hub."""
    if name == openwebtext.NAME:
        with Display(console) as display:
            fetch.load(budget.tokens(tokens or "webtext/64"), display.tell)
        return
    if tokens:
        raise UserError("--tokens goes with openwebtext only: the other corpora are loaded whole")
    for corpus_name in [name] if name else corpora.CORPORA:
        text = corpora.load(corpus_name, say)
        say(
            f"{corpus_name}: {len(text):,} bytes, sha256 {corpora.fingerprint(corpus_name)[:12]}… holds, "
            f"in {corpora.place(corpus_name)}"
        )
