"""The `runner` command."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner import archive, corpus, experiment, state
from runner.errors import UserError
from runner.experiment import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train small language models and keep logs that can be trusted.",
)
console = Console()

Root = Annotated[Path, typer.Option("--runs", help="Folder in which runs leave their evidence.")]
Profile = Annotated[str, typer.Option(help="smoke (seconds), laptop (minutes) or paper (an accelerator, or patience).")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best one there is unless named.")]
Jobs = Annotated[int | None, typer.Option(help="Runs side by side.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads of one run.")]
Precision = Annotated[str | None, typer.Option(help="bf16 or float32.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Whether to use torch.compile.")]
RUNS, LOGS = Path("runs"), Path("logs")


@app.command("list")
def list_() -> None:
    """The experiments, and what each profile of them trains."""
    table = Table("experiment", "title", "profile", "runs", "steps", "model", box=None, pad_edge=False)
    for name in experiment.names():
        loaded = experiment.load(name)
        for profile in loaded.profiles:
            plans = loaded.plans(profile)
            spec = plans[0].spec
            shape = f"{spec.model.n_layer} layers, width {spec.model.d_model}, block {spec.model.block_size}"
            table.add_row(name, loaded.title, profile, str(len(plans)), str(spec.train.steps), shape)
    console.print(table)


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="A corpus; all of them unless named.")] = None,
) -> None:
    """Get the corpora, and check them."""
    for corpus_name in [name] if name else corpus.CORPORA:
        text = corpus.load(corpus_name, _say)
        _say(
            f"{corpus_name}: {len(text):,} bytes, sha256 {corpus.named(corpus_name).sha256[:12]}… holds, "
            f"in {corpus.cache_folder() / corpus.named(corpus_name).filename}"
        )


@app.command()
def sweep(
    name: Annotated[str | None, typer.Argument(metavar="[EXPERIMENT]", help="All of them, unless named.")] = None,
    profile: Profile = "laptop",
    runs: Root = RUNS,
    device: Device = None,
    jobs: Jobs = None,
    threads: Threads = None,
    precision: Precision = None,
    compile: Compile = None,
) -> None:
    """Train every run of an experiment that is not finished; stopped at any moment, it goes on when called again."""
    named = _named(device=device, jobs=jobs, threads=threads, precision=precision, compile=compile)
    for loaded in [experiment.load(each) for each in ([name] if name else experiment.names())]:
        _go(loaded.title, profile, loaded.plans(profile), runs, loaded.placement(profile) | named)


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Such as mlp-ratio, or a TOML file.")],
    profile: Profile = "laptop",
    seed: Annotated[int, typer.Option(help="Of weights, batches, dropout.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Such as mlp_ratio=2.5 or train.steps=300; may be repeated."),
    ] = None,
    runs: Root = RUNS,
    device: Device = None,
    threads: Threads = None,
    precision: Precision = None,
    compile: Compile = None,
) -> None:
    """Train one run. One that the experiment does not plan goes to runs/scratch and stays out of its figures."""
    loaded = experiment.load(name)
    plan = loaded.variant(profile, _settings(settings or []), seed)
    wishes = (
        loaded.placement(profile)
        | {"jobs": 1}
        | _named(device=device, threads=threads, precision=precision, compile=compile)
    )
    _go(plan.name, profile, [plan], runs, wishes)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="All unless named.")] = None,
    profile: Profile = "laptop",
    runs: Root = RUNS,
) -> None:
    """What is finished, what is not and why, and which evidence is older than the code."""
    for experiment_name in [name] if name else experiment.names():
        loaded = experiment.load(experiment_name)
        plans = loaded.plans(profile)
        drifted = []
        for plan in plans:
            found = state.inspect(plan, runs)
            _say(f"{loaded.name}/{plan.name}  {found.status:9} {found.reason}")
            drifted += [plan.name] if found.drift else []
        for path in _strangers(plans, runs):
            _say(f"{loaded.name}/{path.name}  stranger  it is in {path}, but not in the plan; figures leave it out")
        if drifted:
            _say(
                f"drift: the code that decides numbers has changed since {', '.join(drifted)} began; their numbers "
                "stand, but may not come out again to the last digit"
            )


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/mlp-ratio/laptop/r4-s0.")],
    prompt: Annotated[str, typer.Option(help="The text that the model goes on from.")] = "\n",
    length: Annotated[int, typer.Option(min=1, help="Characters to add.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another text.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest only.")] = None,
) -> None:
    """Text from a trained model."""
    from runner import sample as sampling

    model, tokens = sampling.load(run)
    print(sampling.generate(model, tokens, prompt, length, seed, temperature, top_k))


@app.command()
def verify(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="An ended run's folder.")] = None,
    steps: Annotated[int, typer.Option(help="How many of its first steps to train again.")] = 50,
    logs: Annotated[bool, typer.Option("--logs", help="Check every published log against its manifest.")] = False,
    folder: Annotated[Path, typer.Option("--folder", help="Where the published logs are.")] = LOGS,
) -> None:
    """Train the first steps of a run again and compare, or check the published logs; status 1 where numbers differ."""
    if logs:
        checked = archive.ended(folder)
        if not checked:
            raise UserError(f"{folder} holds no published run: name the folder with --folder")
        _say(f"{len(checked)} published runs match their manifests")
    if run is None:
        if not logs:
            raise UserError("name a run's folder, such as logs/mlp-ratio/laptop/r4-s0, or --logs")
        return
    from runner import verify as verifying

    found = verifying.verify(run, steps)
    machine = "this kind of machine" if found.same_kind else "another kind of machine"
    apart = "" if found.kind == "identical" else f", by {found.largest:.2g} nats at most"
    _say(f"{run}: {found.kind} in {found.rows} rows over {steps} steps, first made on {machine}{apart}")
    if found.kind == "different":
        raise typer.Exit(1)


@app.command()
def publish(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Whose runs to publish.")],
    profile: Profile = "laptop",
    runs: Root = RUNS,
    folder: Annotated[Path, typer.Option("--logs", help="Where published logs go.")] = LOGS,
) -> None:
    """Copy the evidence of ended runs, without their checkpoints, into logs/, for git and the site."""
    planned = {plan.name for plan in experiment.load(name).plans(profile)}
    found = [run for run in archive.ended(runs, name, profile) if run.name in planned]
    if not found:
        raise UserError(f"{runs}/{name}/{profile} holds no run that has ended: train the sweep first")
    changed = archive.publish(found, folder)
    _say(f"{len(found)} runs, {len(changed)} of them new or changed in {folder / name / profile}")


@app.command()
def pack(
    target: Annotated[Path, typer.Argument(metavar="LOGS.tar", help="The archive to write.")], runs: Root = RUNS
) -> None:
    """Put the evidence of every ended run into one archive of at most 16 MiB, to carry it to another machine."""
    found = archive.ended(runs)
    if not found:
        raise UserError(f"{runs} holds no run that has ended: train one first")
    size = archive.pack(found, target)
    _say(f"{len(found)} runs in {target}, {size / 2**20:.1f} MiB")


@app.command()
def unpack(
    source: Annotated[Path, typer.Argument(metavar="LOGS.tar", help="What `runner pack` made.")],
    folder: Annotated[Path, typer.Option("--logs", help="Where published logs go.")] = LOGS,
) -> None:
    """Take an archive's evidence into logs/, after checking all of it."""
    for path in archive.unpack(source, folder):
        _say(f"{path}")


def _go(title: str, profile: str, plans: list[Plan], runs: Path, wishes: dict[str, Any]) -> None:
    """Say what is done with each run and why, then do it; exits with 1 where one was stopped, 2 where one failed."""
    todo = []
    for plan in plans:
        found = state.inspect(plan, runs)
        if found.action == "skip":
            _say(f"{plan.name} unchanged: {found.reason}")
        else:
            _say(f"{plan.name} {found.action}s: {found.reason}")
            todo.append(plan)
    for path in _strangers(plans, runs):
        _say(f"{path.name} is in {path.parent}, but not in the plan; figures leave it out")
    if not todo:
        return
    from runner.placement import resolve  # late: it imports torch, which a sweep with nothing to do must not
    from runner.progress import Display
    from runner.sweep import run

    placement = resolve(wishes)
    corpora = {plan.spec.data.corpus for plan in todo}
    for name in sorted(corpora):
        corpus.load(name, _say)  # once, before workers ask for it together
    began = time.perf_counter()
    with Display(f"{title} {profile}", len(todo), console) as display:
        statuses = run(todo, runs, placement, display.tell)
    counts = Counter(statuses.values())
    spent = time.perf_counter() - began
    _say(f"{len(todo)} runs in {spent:.0f} s: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    if counts["failed"]:
        raise typer.Exit(2)
    if counts["stopped"]:
        _say("saved; the same command goes on where it stopped")
        raise typer.Exit(1)


def _strangers(plans: list[Plan], runs: Path) -> list[Path]:
    """Runs of the plans' folder that none of them is."""
    folder = plans[0].folder(runs).parent
    if plans[0].experiment == experiment.SCRATCH or not folder.is_dir() or len(plans) == 1:
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if (path / "manifest.json").is_file() and path.name not in {plan.name for plan in plans}
    )


def _named(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _settings(given: list[str]) -> dict[str, Any]:
    """`name=value` options as dotted paths: a bare name is looked for in the spec's tables."""
    import dataclasses
    import tomllib

    from runner.spec import RunSpec

    tables = {
        f.name: [g.name for g in dataclasses.fields(f.type)]
        for f in dataclasses.fields(RunSpec)
        if dataclasses.is_dataclass(f.type)
    }
    settings = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} must be NAME=VALUE, such as mlp_ratio=2.5")
        homes = [f"{table}.{name}" for table, fields in tables.items() if name in fields]
        if "." not in name and len(homes) != 1:
            known = ", ".join(sorted(field for fields in tables.values() for field in fields))
            raise UserError(f"--set {text!r}: unknown setting {name!r}; known: {known}")
        try:
            settings[name if "." in name else homes[0]] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            settings[name if "." in name else homes[0]] = value
    return settings


def _say(line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command; bad input is one line on standard error and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"runner: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a folder that cannot be written to, or is no folder
        print(f"runner: {error.filename}: {error.strerror}: name another folder, or make room there", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
