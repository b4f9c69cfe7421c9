"""The page of the benchmarks: what `make bench` measured, with its parquet to download."""

import json
from pathlib import Path

from analysis.site import markup
from analysis.site.pages import Files, front
from analysis.study import text
from runner.errors import UserError

ABOUT = ("title", "columns", "rows", "machine", "versions", "commit", "date")  # as benchmarks/results.py writes it
ORDER = ("step", "sweep", "small", "grid", "tokens", "sample", "probes", "log")
NOTES = {
    "step": "One training step of the character model at its full size, for each MLP ratio: six layers, width 384, 64 "
    "blocks of 256. The reference is a plain PyTorch loop in float32, not compiled. Ours is what `runner train` does "
    "on that machine: products in bf16 where the processor has units for it, and compiled. Model and batches are the "
    "same. *Of peak* is the share of the rate of a large product in bf16 there.",
    "sweep": "A whole sweep of small models: five ratios and five seeds, compilation included. `make bench` leaves it "
    "out; `.venv/bin/python -m benchmarks.step --sweep` measures it.",
    "small": "A training step of models of the study, on one thread, each in the precision of its experiment. The "
    "plain ones are modules of PyTorch in float32 with its fused AdamW. Both read the same batches.",
    "grid": "Sixty runs of modular arithmetic, each too small to keep a core busy. Stacked runs share a program, and "
    "compute nothing at positions without a loss; their mathematics is that of plain PyTorch. They belong to the "
    "benchmark: the published runs are the runner's.",
    "tokens": "Shakespeare's plays, cut into documents as long as those of OpenWebText, from parquet to token shards, "
    "beside tiktoken encoding the same text from memory. *Of tiktoken* is the rate as a share of that of tiktoken's "
    "batches.",
    "sample": "Text from a character model, 256 tokens after one, on one thread. Both draw the very same text: one "
    "reads its window again for each token, the other keeps keys and values of the tokens before. The window of the "
    "laptop model, 64 tokens, moves on by 32 when it is full.",
    "probes": "What a run observes of itself, where it is asked to: a step that one probe, or all of them, observe, "
    "beside a plain one. They observe one step in many, so the share of a step is what counts.",
    "log": "What writing a log costs a step, and how long reading takes.",
}


def pages(folder: Path, where: str) -> Files:
    """The page and the files that it offers; a file that no benchmark wrote is a `UserError`."""
    import pyarrow as pa  # slow to import, for the one page that needs it
    import pyarrow.parquet as pq

    files: Files = {}
    parts = [
        front(title="Speed", description="What training and sampling cost here, beside a plain loop.", hide=["toc"])
        + "# Speed\n\nHow fast this project trains, reads and writes, beside a plain reference in the same run, the "
        "two in turn. Machines differ and are shared, so trust ratios more than seconds. `make bench` measures it "
        "again, and this page then shows your own numbers.",
    ]
    found = {path.stem: path for path in folder.glob("*.parquet")}
    for name in sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        try:
            metadata = pq.read_schema(found[name]).metadata or {}
        except pa.ArrowException as error:
            raise UserError(f"{where}/{name}.parquet: {error}; make it again with: make bench") from None
        about = {k.decode(): v.decode() for k, v in metadata.items()}
        missing = [key for key in ABOUT if key not in about]
        if missing:
            raise UserError(f"{where}/{name}.parquet has no {missing[0]}: make it again with: make bench")
        columns, rows = json.loads(about["columns"]), json.loads(about["rows"])
        caption = (
            f"{text.escape(about['machine'])}, {text.escape(about['versions'])}, {about['date']}, commit "
            f"`{about['commit']}`. [{name}.parquet](speed/{name}.parquet)"
        )
        numeric = [column != "what" for column in columns]  # as on the terminal
        title = text.escape(about["title"][:1].upper() + about["title"][1:])
        table = markup.table({"label": title, "caption": caption, "columns": columns, "numeric": numeric, "rows": rows})
        parts.append(f"## {title}\n\n{NOTES.get(name, '')}\n\n{table}")
        files[f"speed/{name}.parquet"] = found[name]
    if not found:
        parts.append("Nothing has been measured here yet.")
    files["speed.md"] = ("\n\n".join(parts) + "\n").encode()
    return files
