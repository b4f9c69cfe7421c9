"""`runner train`, `status`, `sample`, `draw` and `verify`: train and examine single runs."""

import difflib
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from runner.cli import options
from runner.cli.display import Display
from runner.cli.experiments import having, leave_unless_ended
from runner.cli.terminal import console, say
from runner.errors import Damaged, UserError
from runner.evidence import archive, baselines, log, planned, state
from runner.evidence.state import State
from runner.evidence.status import Status
from runner.files import SCRATCH
from runner.launch import durations, fetch, progress, sweep
from runner.launch.events import Unplanned
from runner.plan import experiment, presets
from runner.plan.plan import Plan
from runner.training.ranks import processes


def train_one(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|MODEL", help="An experiment (mlp-ratio), a TOML file, or a named model (d12_mlp3x)."
        ),
    ],
    profile: options.Profile = options.PROFILE,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and dropout.")] = 0,
    settings: options.Settings = None,
    steps: Annotated[int | None, typer.Option(help="Number of updates.")] = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="Tokens to train on, instead of --steps: webtext/64, gpt2/64, or a number such as 10M."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences per step.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Tokens per sequence.")] = None,
    grad_accumulation: Annotated[int | None, typer.Option(help="Micro-batches per step.")] = None,
    val_every: Annotated[int | None, typer.Option(help="Steps between evaluations.")] = None,
    text: Annotated[
        str | None, typer.Option("--corpus", help="For a named model: openwebtext (the default) or shakespeare-plays.")
    ] = None,
    runs: options.Root = options.RUNS,
    device: options.Device = None,
    threads: options.Threads = None,
    precision: options.Precision = None,
    compile: options.Compile = None,
) -> None:
    """Train one run, of an experiment or of a named model; the last line names its folder and its final losses. A run
    that no experiment plans is stored in runs/scratch, and no figure includes it."""
    shorthands = {
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.grad_accumulation": grad_accumulation,
        "model.block_size": sequence_length,
        "eval.every": val_every,
    }
    loaded = None if name in presets.CONFIGS else _experiment(name)
    by_name = options.settings(settings or [], loaded.axes_of(profile) if loaded else ())
    by_option = options.given(**shorthands)
    if twice := sorted(by_name.keys() & by_option):
        raise UserError(f"{twice[0]} is set twice, by --set and by an option of its own: give one of them")
    wanted = by_name | by_option
    if "train.steps" in wanted and "train.tokens" in wanted:
        raise UserError("--tokens and --steps both set the length of the run: give one of them")
    if loaded is None and profile != options.PROFILE:
        raise UserError(f"--profile {profile} is for experiments: a named model has one size, which --set changes")
    if loaded is not None and text is not None:
        raise UserError(f"--corpus {text} is for named models: with an experiment, use --set corpus={text}")
    wishes = loaded.placement(profile) if loaded else {}
    wishes |= {"jobs": 1} | options.given(device=device, threads=threads, precision=precision, compile=compile)
    with sweep.workers() as workers, Display(console) as display:
        if device:
            workers.resolve(wishes)  # a missing device is reported before data are loaded
        if loaded:
            sweep.once_a_machine(partial(fetch.preferred, loaded, profile, display.handle), wishes, workers)
            plan = loaded.variant(profile, wanted, seed)
        else:
            corpus = wanted.pop("data.corpus", "openwebtext") if text is None else text
            plan = experiment.single(name, corpus, wanted, seed)
        statuses = sweep.runs(f"{plan.name} {plan.profile}", [plan], runs, wishes, workers, display.handle)
    leave_unless_ended(statuses)
    folder = plan.folder(runs)
    trained = log.read_run(folder) if processes()[0] == 0 else None  # the first of a group writes it, the others do not
    if trained:
        losses = trained.final_losses(plan.spec.eval.splits or tuple(plan.spec.data.splits()))
        say(f"{folder}: final loss {', '.join(f'{split} {loss:.4f}' for split, loss in losses.items())}")


def _experiment(name: str) -> experiment.Experiment:
    """Load an experiment by its name or file; a `UserError` for an unknown name suggests similar experiments and
    models."""
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
    name: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="One experiment; all of them if left out.")
    ] = None,
    profile: options.Profile = options.PROFILE,
    runs: options.Root = options.RUNS,
) -> None:
    """Show the status of each run with its reason, and which runs are older than the code."""
    options.existing(runs)
    if name == SCRATCH:
        raise UserError(f"{SCRATCH} has single runs, which no experiment plans: list them with runner losses {SCRATCH}")
    if name:
        _refuse_run(Path(name))
    damaged = False
    for loaded in having(profile, name):
        try:
            plans = planned.plans(loaded, profile, runs)
        except Damaged:  # a run that its rule asks for: it is named below
            plans = loaded.plans(profile)
        states = [_inspect(plan, runs) for plan in plans]
        drifted = 0
        none = len(plans) > 1 and all(isinstance(each, State) and each.status == Status.MISSING for each in states)
        if none:
            say(f"{loaded.name}  missing   none of the {len(plans)} runs of the {profile} profile has been trained")
        for plan, current in () if none else zip(plans, states, strict=True):
            if isinstance(current, UserError):
                say(f"{loaded.name}/{plan.name}  damaged   {current}")
                damaged = True
                continue
            standing = progress.read(plan.folder(runs)) if current.status == Status.RUNNING else None
            told = _words(standing) if standing else current.reason
            older = ", with older code" if current.drift else ""
            say(f"{loaded.name}/{plan.name}  {current.status:9} {told}{older}")
            drifted += bool(current.drift)
        due = planned.due(loaded, profile, runs)
        if due.waiting and not none:
            say(f"{loaded.name}: {due}")
        for path in planned.unplanned(plans, runs):
            say(f"{loaded.name}/{path.name}  unplanned {Unplanned(path)}")
        if drifted:
            say(
                f"drift: since {drifted} of {len(plans)} runs started, the code that decides numbers has changed; "
                "their numbers remain valid, but a new run may differ in the last digits; "
                "runner verify RUN --mark says of one whether it does"
            )
    if damaged:
        raise typer.Exit(2)
    if not runs.exists():
        say(f"there is no folder {runs} in {Path.cwd()}: if your runs are elsewhere, name their folder with --runs")


def _inspect(plan: Plan, root: Path) -> State | UserError:
    """The state of a plan's folder, or what is wrong with it: one damaged run hides no other."""
    try:
        return state.inspect(plan, root)
    except UserError as error:
        return error


def _refuse_run(folder: Path) -> None:
    """Raise a `UserError` where this is the folder of a run: it names the run's experiment."""
    manifest = log.read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        return
    of, profile = manifest["experiment"], manifest["profile"]
    remedy = (
        f"run `runner status {of} --profile {profile}`"
        if of in experiment.names()
        else f"this run is of {of!r}, which is none; known: {', '.join(experiment.names())}"
    )
    raise UserError(f"{folder} is the folder of a run, and status takes an experiment: {remedy}")


def _words(now: progress.Standing) -> str:
    """The progress of a run that another process trains, as text."""
    left = f", about {durations.words(now.left)} left" if now.left is not None else ""
    return f"at step {now.step:,} of {now.steps:,}, loss {now.loss:.3f}{left}"


def sample_text(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/mlp-ratio/laptop/r4-s0.")],
    prompt: Annotated[
        str | None, typer.Option(help="The text that the model goes on from; a line break, mostly, unless given.")
    ] = None,
    length: Annotated[int, typer.Option(help="Tokens to add.")] = 500,
    samples: Annotated[int, typer.Option(help="Texts, each with its own stream of the seed.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed, other texts.")] = 0,
    temperature: Annotated[float, typer.Option(help="Below 1 likely tokens get likelier.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest only; 1 takes the likeliest.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest that have this probability together.")] = 1.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 tokens that the text has already get less likely.")
    ] = 1.0,
    stride: Annotated[
        int, typer.Option(help="Tokens by which the window moves on when the block is full; more is faster.")
    ] = 1,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep what was computed of the tokens before: the same text.")
    ] = True,
    threads: Annotated[int, typer.Option(help="Processor threads; for a token at a time one is enough.")] = 1,
) -> None:
    """Text from a trained model, shown as it comes. The same seed gives the same text, with and without the cache."""
    import torch

    from runner.training import sample
    from runner.training.draw import Draw

    for name, value in (("samples", samples), ("threads", threads)):
        if value < 1:
            raise UserError(f"{name} {value} must be at least 1")
    if threads > 4 * (os.cpu_count() or 1):
        raise UserError(f"threads {threads}: this machine has {os.cpu_count()} cores; more threads make it no faster")
    torch.set_num_threads(threads)
    draw = Draw(temperature, top_k, top_p, repetition_penalty)
    draw.check()
    model, codec = sample.load(run)
    begin = codec.prompt if prompt is None else prompt
    for number in range(samples):
        pieces = sample.stream(model, codec, begin, length, seed, number, draw, stride, cache, between="\n\n")
        if samples > 1:
            print(f"--- sample {number + 1} of {samples}")
        for piece in pieces:
            print(piece, end="", flush=True)
        print()


def draw_samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="An ended run's folder, with its weights.")],
    from_token_0: Annotated[
        int | None, typer.Option(help="One text of so many tokens after token 0, at a temperature of 1, instead.")
    ] = None,
) -> None:
    """Draw a run's samples at several temperatures, and keep them as evidence of the run. Where it has them already,
    they are drawn again and compared; exits with status 1 where they differ."""
    from runner.training import samples

    if from_token_0 is not None and from_token_0 < 1:
        raise UserError(f"--from-token-0 {from_token_0} must be at least 1: it is the number of tokens to draw")
    found = log.read_run(run)
    if found is None or found.manifest["status"] != Status.FINISHED:
        raise UserError(f"{run} holds no run that has finished: name one, such as runs/mini-gpt/laptop/small-s0")
    log.check(found)
    kept = found.samples()
    if kept.num_rows:  # what there is says how it was drawn
        told = len(kept["tokens"][0]) if kept.num_rows == 1 else 0
        if from_token_0 not in (None, told):
            raise UserError(
                f"{run} has other samples than one text of {from_token_0} tokens after token 0, and a run leaves one "
                "kind: leave --from-token-0 out to draw them again and compare"
            )
        from_token_0 = told
    rows = samples.table(run, from_token_0 or 0)
    temperatures = ", ".join(f"{each:g}" for each in rows["temperature"].unique().drop_null().to_pylist())
    if kept.num_rows:
        same = kept.equals(rows)
        texts = f"{kept.num_rows} text{'s' if kept.num_rows > 1 else ''}"
        say(f"{run}: {texts} drawn again at {temperatures}: {'identical' if same else 'different'}")
        if not same:
            raise typer.Exit(1)
        return
    found.attach("samples.parquet", rows)
    if from_token_0:
        say(f"{run}: samples.parquet has one text, of {from_token_0} tokens after token 0")
    else:
        say(f"{run}: samples.parquet has {rows.num_rows} texts, drawn at {temperatures}, and held-out ones")


def verify_run(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="An ended run's folder.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="How many of its first steps to train again; 50, or all of a shorter run.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Check every published log against its manifest.")] = False,
    folder: Annotated[
        Path, typer.Option("--folder", help="The folder of published logs.", callback=options.folder)
    ] = options.LOGS,
    mark: Annotated[
        bool,
        typer.Option(
            "--mark", help="If the numbers are identical, note beside the run that the present code reproduces them."
        ),
    ] = False,
) -> None:
    """Train the first steps of a run again and compare their numbers, or check the published logs. Exits with status 1
    where numbers differ."""
    if run is None and (mark or steps is not None):
        raise UserError(f"{'--mark' if mark else '--steps'} is for one run: name its folder")
    if not logs and folder != options.LOGS:
        raise UserError("--folder is for --logs: give that, too")
    if logs:
        checked = archive.ended(folder)
        if not checked:
            raise UserError(f"{folder} holds no published run: name the folder with --folder")
        say(f"{len(checked)} published run{'s match their manifests' if len(checked) > 1 else ' matches its manifest'}")
        for strange in archive.without_manifest(folder):
            say(f"{strange} has no manifest, and is not checked: it is no published run")
        if counted := baselines.files(folder):
            say(f"{len(counted)} file{'s' * (len(counted) > 1)} of baselines beside them match their checksums")
    if run is None:
        if not logs:
            raise UserError("name a run's folder, such as logs/mlp-ratio/laptop/r4-s0, or --logs")
        return
    from runner.training import verify

    steps = verify.length(run) if steps is None else steps
    verdict = verify.verify(run, steps)
    machine = "this kind of machine" if verdict.same_kind else "another kind of machine"
    apart = "" if verdict.kind == "identical" else f", by {verdict.largest:.2g} nats at most"
    say(f"{run}: {verdict.kind} in {verdict.rows} rows over {steps} steps, first trained on {machine}{apart}")
    if verdict.kind == "different":
        raise typer.Exit(1)
    if mark and verdict.kind == "identical":
        say(f"{run}: marked, no drift: {verify.mark(run, steps)}")
    elif mark:
        raise UserError(f"{run} is not marked: only identical numbers show that the present code reproduces them")
