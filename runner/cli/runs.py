"""`runner train`, `status`, `sample` and `verify`: single runs."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from runner.cli import options
from runner.cli.display import Display
from runner.cli.experiments import leave_unless_ended
from runner.cli.terminal import console, say
from runner.errors import UserError
from runner.evidence import archive, baselines, planned, state
from runner.evidence.status import Status
from runner.launch import durations, fetch, progress, sweep
from runner.plan import experiment, presets


def train_one(
    name: Annotated[
        str, typer.Argument(metavar="EXPERIMENT|MODEL", help="Such as mlp-ratio, a TOML file, or d12_mlp3x.")
    ],
    profile: options.Profile = "laptop",
    seed: Annotated[int, typer.Option(help="Of weights, batches, dropout.")] = 0,
    settings: options.Settings = None,
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
    runs: options.Root = options.RUNS,
    device: options.Device = None,
    threads: options.Threads = None,
    precision: options.Precision = None,
    compile: options.Compile = None,
) -> None:
    """Train one run: of an experiment, or of a named model by itself. One that no experiment plans goes to runs/scratch
    and stays out of all figures."""
    shorthands = {
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.grad_accumulation": grad_accumulation,
        "model.block_size": sequence_length,
        "eval.every": val_every,
    }
    loaded = None if name in presets.CONFIGS else _experiment(name)
    wanted = options.settings(settings or [], loaded.axes_of(profile) if loaded else ()) | options.given(**shorthands)
    if "train.steps" in wanted and "train.tokens" in wanted:
        raise UserError("the tokens and the steps of a run say the same twice; give one of them")
    if loaded is not None and text is not None:
        raise UserError(f"--corpus {text} is for a named model; give an experiment --set corpus={text}")
    wishes = loaded.placement(profile) if loaded else {}
    wishes |= {"jobs": 1} | options.given(device=device, threads=threads, precision=precision, compile=compile)
    with sweep.workers() as workers, Display(console) as display:
        if device:
            workers.resolve(wishes)  # a device that is not there is said before data are looked for
        if loaded:
            fetch.preferred(loaded, profile, display.tell)
            plan = loaded.variant(profile, wanted, seed)
        else:
            corpus = wanted.pop("data.corpus", "openwebtext") if text is None else text
            plan = experiment.single(name, corpus, wanted, seed)
        statuses = sweep.runs(f"{plan.name} {plan.profile}", [plan], runs, wishes, workers, display.tell)
    leave_unless_ended(statuses)


def _experiment(name: str) -> experiment.Experiment:
    """The experiment of that name; where there is none, a `UserError` names experiments and models that are near."""
    known = [*experiment.names(), *presets.CONFIGS]
    if name.endswith(".toml") or name in known:
        return experiment.load(name)
    near = difflib.get_close_matches(name, known, 3)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"experiments: {', '.join(experiment.names())}; models: {', '.join(presets.CONFIGS)}"
    )
    raise UserError(f"unknown experiment or model {name!r}; {hint}")


def show_status(
    name: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="All unless named.")] = None,
    profile: options.Profile = "laptop",
    runs: options.Root = options.RUNS,
) -> None:
    """What is finished, what is not and why, and which evidence is older than the code."""
    for experiment_name in [name] if name else experiment.names():
        loaded = experiment.load(experiment_name)
        plans = planned.plans(loaded, profile, runs)
        drifted = []
        for plan in plans:
            found = state.inspect(plan, runs)
            now = progress.read(plan.folder(runs)) if found.status == Status.RUNNING else None
            say(f"{loaded.name}/{plan.name}  {found.status:9} {_standing(now) if now else found.reason}")
            drifted += [plan.name] if found.drift else []
        for path in planned.unplanned(plans, runs):
            say(f"{loaded.name}/{path.name}  unplanned it is in {path}, but not in the plan; figures leave it out")
        if drifted:
            say(
                f"drift: the code that decides numbers has changed since {', '.join(drifted)} began; their numbers "
                "stand, but may not come out again to the last digit"
            )


def _standing(now: progress.Standing) -> str:
    """Where a run is that another process trains."""
    left = f", about {durations.words(now.left)} left" if now.left is not None else ""
    return f"at step {now.step:,} of {now.steps:,}, loss {now.loss:.3f}{left}"


def sample_text(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/mlp-ratio/laptop/r4-s0.")],
    prompt: Annotated[
        str | None, typer.Option(help="The text that the model goes on from; a line break, mostly, unless given.")
    ] = None,
    length: Annotated[int, typer.Option(min=1, help="Characters to add.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another text.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest only.")] = None,
) -> None:
    """Text from a trained model."""
    from runner.training import sample

    model, tokens = sample.load(run)
    begin = tokens.codec.prompt if prompt is None else prompt
    print(sample.generate(model, tokens, begin, length, seed, temperature, top_k))


def verify_run(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="An ended run's folder.")] = None,
    steps: Annotated[int, typer.Option(help="How many of its first steps to train again.")] = 50,
    logs: Annotated[bool, typer.Option("--logs", help="Check every published log against its manifest.")] = False,
    folder: Annotated[Path, typer.Option("--folder", help="Where the published logs are.")] = options.LOGS,
    mark: Annotated[
        bool, typer.Option("--mark", help="Where it is identical, note that today's code gives its numbers again.")
    ] = False,
) -> None:
    """Train the first steps of a run again and compare, or check the published logs; status 1 where numbers differ."""
    if logs:
        checked = archive.ended(folder)
        if not checked:
            raise UserError(f"{folder} holds no published run: name the folder with --folder")
        say(f"{len(checked)} published runs match their manifests")
        if counted := baselines.files(folder):
            say(f"{len(counted)} file{'s' * (len(counted) > 1)} of baselines beside them match their checksums")
    if run is None:
        if not logs:
            raise UserError("name a run's folder, such as logs/mlp-ratio/laptop/r4-s0, or --logs")
        return
    from runner.training import verify

    found = verify.verify(run, steps)
    machine = "this kind of machine" if found.same_kind else "another kind of machine"
    apart = "" if found.kind == "identical" else f", by {found.largest:.2g} nats at most"
    say(f"{run}: {found.kind} in {found.rows} rows over {steps} steps, first made on {machine}{apart}")
    if found.kind == "different":
        raise typer.Exit(1)
    if mark and found.kind == "identical":
        say(f"{run}: marked, no drift: {verify.mark(run, steps)}")
    elif mark:
        raise UserError(f"{run} is not marked: only numbers that are identical show that the code gives them again")
