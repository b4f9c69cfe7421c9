import io

from rich.console import Console

from runner.cli.display import Display
from runner.data import openwebtext
from runner.evidence.state import State
from runner.evidence.status import Status
from runner.launch import events

TOLD = [
    events.Inspected("r1-s0", State("train", "missing", "it has not been trained")),
    events.Inspected("r2-s0", State("skip", "finished", "it finished at step 60")),
    events.Loading("openwebtext", 1000, openwebtext.Progress("a/b.parquet", "tokenise", 5, 10, 500)),
    events.Loaded("openwebtext"),
    events.Started("A sweep", 2),
    events.Progress("r1-s0", 10, 60, 2.5, 1000.0),
    events.Line("r1-s0: [not] markup"),
    events.RunEnded("r1-s0", Status.FINISHED),
    events.RunEnded("r3-s0", Status.DIVERGED),
    events.AllEnded({"r1-s0": Status.FINISHED, "r3-s0": Status.DIVERGED}, 12.3),
    events.AllEnded(dict.fromkeys(("r1-s1", "r3-s1", "r4-s1"), Status.STOPPED), 4.5, not_begun=2),
    events.Decided("activations", "it wins"),
]


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with Display(console) as display:
        for event in TOLD:
            display.handle(event)
    return console.file.getvalue()


def test_events_are_lines_where_there_is_no_terminal():
    assert shown(terminal=False).splitlines() == [
        "r1-s0 trains: it has not been trained",
        "r2-s0 unchanged: it finished at step 60",
        "r1-s0: [not] markup",
        "✓ r1-s0 finished",
        "✗ r3-s0 diverged",
        "2 runs in 12 s: 1 diverged, 1 finished",
        "3 runs in 4 s: 1 stopped, 2 not begun",
        "activations: it wins",
    ]


def test_on_a_terminal_there_are_bars():
    text = shown(terminal=True)
    assert "A sweep" in text
