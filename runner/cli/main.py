"""The `runner` command."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner.data import corpora, openwebtext
from runner.data import dataset as datas
from runner.errors import UserError
from runner.evidence import archive, planned, state
from runner.plan import experiment, presets, rules
from runner.plan.plan import Plan
from runner.training.ranks import here, processes

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
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Such as mlp_ratio=2.5 or train.steps=300; may be repeated."),
]
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
            table.add_row(name, loaded.title, profile, str(len(plans)), str(spec.train.steps), spec.model.shape)
    console.print(table)


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(help="A corpus; the small ones unless named. openwebtext comes from a hub.")
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="How much of openwebtext: webtext/64 (unless named), gpt2/64, or a number such as 10M."),
    ] = None,
) -> None:
    """Get the corpora, and check them. RUNNER_DATA names a folder that has them, RUNNER_HUB another dataset hub."""
    if name == "openwebtext":
        _openwebtext(tokens or "webtext/64")
        return
    if tokens:
        raise UserError("--tokens goes with openwebtext only: the other corpora are loaded whole")
    for corpus_name in [name] if name else corpora.CORPORA:
        text = corpora.load(corpus_name, _say)
        _say(
            f"{corpus_name}: {len(text):,} bytes, sha256 {corpora.named(corpus_name).sha256[:12]}… holds, "
            f"in {corpora.cache_folder() / corpora.named(corpus_name).filename}"
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
    engine: Annotated[str, typer.Option(help="local (this machine), or ray (a Ray cluster).")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of the Ray cluster; this machine's unless named.")
    ] = None,
) -> None:
    """Train every run of an experiment that is not finished; stopped at any moment, it goes on when called again."""
    if engine not in ("local", "ray"):
        raise UserError(f"unknown engine {engine!r}; known: local, ray")
    if address and engine != "ray":
        raise UserError(f"--address {address} is for --engine ray: name that engine too")
    named = _named(device=device, jobs=jobs, threads=threads, precision=precision, compile=compile)
    for loaded in [experiment.load(each) for each in ([name] if name else experiment.names())]:
        wishes = loaded.placement(profile) | named
        for path in planned.unplanned(planned.plans(loaded, profile, runs), runs):
            _say(f"{path.name} is in {path.parent}, but not in the plan; figures leave it out")
        _go(loaded.title, profile, loaded.plans(profile), runs, wishes, engine, address)
        if decision := _agreed(planned.decide(loaded, profile, runs)):
            _say(f"{loaded.name}: {decision.reason}")
            _go(loaded.title, profile, decision.more or [], runs, wishes, engine, address)


@app.command()
def train(
    name: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|MODEL", help="Such as mlp-ratio, a TOML file, or d12_mlp3x.")
    ],
    profile: Profile = "laptop",
    seed: Annotated[int, typer.Option(help="Of weights, batches, dropout.")] = 0,
    settings: Settings = None,
    steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Instead of steps: webtext/64, gpt2/64, or a number such as 10M.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences a step.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Tokens a sequence.")] = None,
    grad_accumulation: Annotated[int | None, typer.Option(help="Micro-batches a step.")] = None,
    val_every: Annotated[int | None, typer.Option(help="Steps between evaluations.")] = None,
    text: Annotated[
        str | None, typer.Option("--corpus", help="Of a MODEL: openwebtext (unless named) or shakespeare-plays.")
    ] = None,
    runs: Root = RUNS,
    device: Device = None,
    threads: Threads = None,
    precision: Precision = None,
    compile: Compile = None,
) -> None:
    """Train one run: of an experiment, or of a named model by itself. One that no experiment plans goes to runs/scratch
    and stays out of all figures."""
    options = {
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.grad_accumulation": grad_accumulation,
        "model.block_size": sequence_length,
        "eval.every": val_every,
    }
    loaded = None if name in presets.CONFIGS else experiment.load(name)
    wanted = _settings(settings or [], loaded.axes_of(profile) if loaded else ()) | _named(**options)
    if "train.steps" in wanted and "train.tokens" in wanted:
        raise UserError("the tokens and the steps of a run say the same twice; give one of them")
    if loaded is None:
        asked = wanted.pop("data.corpus", "openwebtext") if text is None else text
        plan, wishes = experiment.single(name, asked, wanted, seed), {}
    else:
        if text is not None:
            raise UserError(f"--corpus {text} is for a named model; give an experiment --set corpus={text}")
        plan, wishes = loaded.variant(profile, wanted, seed), loaded.placement(profile)
    wishes |= {"jobs": 1} | _named(device=device, threads=threads, precision=precision, compile=compile)
    _go(plan.name, plan.profile, [plan], runs, wishes)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Such as d12_mlp3x.")],
    context: Annotated[
        int | None, typer.Option(help="Tokens of a sequence; the model's whole block unless named.")
    ] = None,
    settings: Settings = None,
) -> None:
    """What a model costs before it is trained: parameters by part, FLOPs a token, bytes of activations and cache."""
    from runner.models import cost as describing

    spec = experiment.model(name, _settings(settings or []))
    length = spec.block_size if context is None else context
    if not 1 <= length <= spec.block_size:
        raise UserError(f"--context {length} must lie between 1 and the model's block_size = {spec.block_size}")
    console.print(describing.table(name, spec, describing.describe(spec, presets.VOCABULARY, length)))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="All unless named.")] = None,
    profile: Profile = "laptop",
    runs: Root = RUNS,
) -> None:
    """What is finished, what is not and why, and which evidence is older than the code."""
    for experiment_name in [name] if name else experiment.names():
        loaded = experiment.load(experiment_name)
        plans = planned.plans(loaded, profile, runs)
        drifted = []
        for plan in plans:
            found = state.inspect(plan, runs)
            _say(f"{loaded.name}/{plan.name}  {found.status:9} {found.reason}")
            drifted += [plan.name] if found.drift else []
        for path in planned.unplanned(plans, runs):
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
    from runner.training import sample as sampling

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
    from runner.training import verify as verifying

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
    loaded = experiment.load(name)
    names = {plan.name for plan in planned.plans(loaded, profile, runs)}
    found = [run for run in archive.ended(runs, loaded.name, profile) if run.name in names]
    if not found:
        raise UserError(f"{runs}/{loaded.name}/{profile} holds no run that has ended: train the sweep first")
    changed = archive.publish(found, folder)
    _say(f"{len(found)} runs, {len(changed)} of them new or changed in {folder / loaded.name / profile}")


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


def _openwebtext(budget: str) -> None:
    """Load at least as many tokens as the budget says, and say what is there."""
    from runner.cli.progress import Loading
    from runner.data import openwebtext
    from runner.plan import budget as budgets

    wanted = budgets.tokens(budget)
    with Loading("openwebtext", wanted, console) as display:
        stream = openwebtext.load(wanted, _say, display.tell)
    documents = sum(shard.documents for shard in stream.shards)
    _say(
        f"openwebtext: {len(stream):,} tokens, {documents:,} documents, {len(stream.shards)} shards, "
        f"in {openwebtext.folder()}"
    )


def _go(
    title: str,
    profile: str,
    plans: list[Plan],
    runs: Path,
    wishes: dict[str, Any],
    engine: str = "local",
    address: str | None = None,
) -> None:
    """Say what is done with each run and why, then do it; exits with 1 where one was stopped, 2 where one failed."""
    todo = []
    wanted = max((datas.last(p.spec.data) for p in plans if p.spec.data.corpus == openwebtext.NAME), default=0)
    if wanted:
        _openwebtext(str(wanted))  # before its runs are looked at, as its bytes are part of their identity
    for plan in plans:
        found = state.inspect(plan, runs)
        if found.action == "skip" and processes()[1] == 1:  # several processes skip it together
            _say(f"{plan.name} unchanged: {found.reason}")
        else:
            _say(f"{plan.name} {found.action}s: {found.reason}")
            todo.append(plan)
    if not todo:
        return
    from runner.cli.progress import Display

    with _engine(engine, address) as (resolve, run):
        placement = resolve(wishes)
        texts = {plan.spec.data.corpus for plan in todo} - {openwebtext.NAME}
        for name in sorted(texts):
            corpora.load(name, _say)  # once, before workers ask for it together
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


def _agreed(decision: rules.Decision | None) -> rules.Decision | None:
    """That of the process which leads, where several train together: the others may see no runs, or unfinished ones."""
    if processes()[1] == 1:
        return decision
    from runner.training.group import Group

    return Group().from_leader(decision)  # they have met: `_go` trains or skips together


@contextmanager
def _engine(name: str, address: str | None) -> Iterator[tuple[Callable[..., Any], Callable[..., Any]]]:
    """What resolves a placement and what trains plans; imported late, as a sweep with nothing to do needs no torch."""
    if name == "ray":
        from runner.launch import cluster

        with cluster.connect(address):
            yield cluster.resolve, cluster.run
    else:
        from runner.launch import local
        from runner.training import machine

        yield machine.resolve, local.run


def _named(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _settings(given: list[str], axes: Iterable[str] = ()) -> dict[str, Any]:
    """`name=value` options as dotted paths: a bare name is one of the axes, or looked for in the spec's tables."""
    import tomllib

    from runner.plan.spec import tables
    from runner.settings import OTHER_NAMES

    spaces, settings = tables(), {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} must be NAME=VALUE, such as mlp_ratio=2.5")
        name = OTHER_NAMES.get(name, name)
        homes = [name] if name in axes else [f"{table}.{name}" for table, fields in spaces.items() if name in fields]
        if "." not in name and len(homes) != 1:
            known = ", ".join([*axes, *sorted(field for fields in spaces.values() for field in fields)])
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
    console.quiet = processes()[0] > 0  # of several processes one speaks
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except OSError as error:  # a folder that cannot be written to, or is no folder
        _fail(f"{error.filename}: {error.strerror}: name another folder, or make room there")


def _fail(line: str) -> None:
    if here()[0] == 0:  # of several processes one complains on each machine, as only the others' may lack something
        print(f"runner: {line}", file=sys.stderr)
    sys.exit(2)
