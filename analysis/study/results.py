"""The one object through which a notebook says what it found.

    results = Results(output)
    results.provenance(runs)
    results.number("best-ratio", 3, digits=0)
    results.table("ratios", frame, caption="…", formats={"loss": ".3f"})
    results.figure("loss", [Curves(…), Curves(…)], alt=["…", "…"], caption="…")      # analysis.study.figures
    results.claim("S0-4", verdict, **verdict.leading(), unit="nats", seeds=arms.seeds)  # analysis.study.verdicts
    results.save()

Posts take these in by name. Nothing is written before `save`, but for the figures. `results.json` also holds the values
behind every figure, by panel, and behind every verdict its rule and its measures: their bars, and the effects by seed.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.files import write_atomic

if TYPE_CHECKING:  # they import scipy and pandas, and whoever only reads results can do without
    from analysis.study.stats import Estimate
    from analysis.study.verdicts import Measure, Verdict

SCHEMA = 3  # 2: the values of figures; rules and measures of verdicts. 3: parts of claims; corrected intervals
VERDICTS = ("supported", "refuted", "inconclusive", "one run agrees", "one run disagrees", "not tested", "remark")
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
BASES = ("runs", "arithmetic", "literature")  # what a verdict stands on
NUMERIC = re.compile(r"[-+−]?[\d.,]+(e[-+−]?\d+)?%?( ± [\d.,]+%?)?|–|n/a")  # right-aligned in a table
CLAIM = re.compile(r"[A-Z]\d*-\d+")
Draw = Callable[[Any], Any]


def every(among: Sequence[dict[str, Any]], *path: str) -> list[Any]:
    """The values at a path of manifests or of their sessions, each once; none where it is missing or empty."""
    found: set[Any] = set()
    for value in among:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        found.add(value)
    return sorted((v for v in found if v not in (None, "")), key=str)


class Results:
    """Numbers, tables, figures and verdicts by name; `save` writes them as `<output>/results.json`."""

    def __init__(self, output: str | Path) -> None:
        self.output = Path(output)
        self._kept: dict[str, dict[str, Any]] = {
            kind: {} for kind in ("numbers", "tables", "figures", "claims", "provenance")
        }

    def number(
        self,
        name: str,
        value: Any,
        unit: str = "",
        digits: int | None = None,
        interval: tuple[float, float] | None = None,
        reason: str = "",
    ) -> None:
        """A number for a sentence. `None` needs the reason why there is none."""
        where = f"number {name!r}"
        value = _scalar(value, where)
        if value is None and not reason:
            raise UserError(f"{where} is None: give reason=… to say why there is no number")
        self._keep(
            "numbers",
            name,
            {"value": value, "unit": unit, "digits": digits, "interval": _interval(interval, where), "reason": reason},
        )

    def estimate(
        self, name: str, found: "Estimate", unit: str = "", digits: int | None = None, scale: float = 1
    ) -> None:
        """An estimate as a number with its interval, both `scale` times: 100 for a share in percent, -1 for a gain."""
        ends = None if found.interval is None else sorted(scale * end for end in found.interval)
        self.number(name, scale * found.mean, unit, digits, ends and (ends[0], ends[1]))

    def table(self, name: str, frame: Any, *, caption: str = "", formats: dict[str, str | Draw] | None = None) -> None:
        """A pandas frame, without its index. `formats` gives a format spec or a function by column."""
        formats = formats or {}
        columns = [str(column) for column in frame.columns]
        unknown = sorted(set(formats) - set(columns))
        if unknown:
            raise UserError(f"table {name!r}: formats names no column {unknown[0]!r}; columns: {', '.join(columns)}")
        if len(set(columns)) < len(columns):
            twice = next(column for column in columns if columns.count(column) > 1)
            raise UserError(f"table {name!r}: two columns are called {twice!r}: rename one")
        values = [[_cell(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
        texts = [
            [_shown(cell, formats.get(column)) for cell, column in zip(row, columns, strict=True)] for row in values
        ]
        numeric = [all(NUMERIC.fullmatch(row[i]) for row in texts) for i in range(len(columns))]
        self._keep(
            "tables",
            name,
            {"caption": caption, "columns": columns, "numeric": numeric, "rows": texts, "values": values},
        )

    def figure(
        self,
        name: str,
        panels: Draw | Sequence[Draw],
        *,
        alt: str | Sequence[str],
        caption: str = "",
        experiment: str | None = None,
        values: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Draw each panel in light and in dark. `panels` is one panel of `analysis.study.figures` or a list of them.

        `alt` says in words what is to be seen: one text, or one a panel. `experiment` names the evidence that the
        figure stands on, where the notebook reads more than one. A panel brings the values that it shows; for plain
        functions `draw(ax)` they are given here, a panel each: `{"series": [{"name": "…", "x": […], "y": […]}]}`.
        """
        from analysis.study import style  # matplotlib is slow to import, and a notebook without figures needs none

        draws = [panels] if callable(panels) else list(panels)
        alts = [alt] if isinstance(alt, str) else list(alt)
        if isinstance(alt, str) and len(draws) > 1:
            alts = [f"{alt} (panel {k} of {len(draws)})" for k in range(1, len(draws) + 1)]
        if not draws or len(alts) != len(draws):
            raise UserError(f"figure {name!r}: {len(draws)} panels but {len(alts)} texts in alt")
        if not all(text.strip() for text in alts):
            raise UserError(f"figure {name!r}: alt is empty; say in words what is to be seen")
        if values is None:
            values = [draw.values() if hasattr(draw, "values") else {} for draw in draws]
        if len(values) != len(draws):
            raise UserError(f"figure {name!r}: {len(draws)} panels but {len(values)} of values")
        size = {"width": round(style.PANEL[0] * 100), "height": round(style.PANEL[1] * 100)}
        panels = [
            {"alt": text, **size, "values": _shown_values(shown, f"figure {name!r}, panel {k}")}
            for k, (text, shown) in enumerate(zip(alts, values, strict=True), 1)
        ]
        self._keep("figures", name, {"caption": caption, "experiment": experiment, "panels": panels})
        for k, draw in enumerate(draws, 1):
            style.save(draw, self.output / "figures", f"{name}-{k}")

    def claim(
        self,
        id: str,
        verdict: "str | Verdict",
        effect: float | None = None,
        interval: tuple[float, float] | None = None,
        n: int | None = None,
        unit: str = "",
        reason: str = "",
        rule: str = "",
        measures: "Sequence[Measure]" = (),
        seeds: Sequence[int] | None = None,
        basis: str = "",
    ) -> None:
        """What the evidence says of a claim of the ledger. `n` counts what the interval is taken over (seeds). `basis`
        is what it stands on: "runs" (where there is an n), "arithmetic" (else), or "literature".

        A verdict of `analysis.study.verdicts` brings its rule and its measures; a word needs its rule in words, unless
        it is "not tested", or "remark" for an observation of ours and for what nothing could refute. `seeds` are those
        that the effects of the measures belong to, in order.
        """
        where, parts, obstacle = f"claim {id!r}", {}, ""
        if not isinstance(verdict, str):
            parts, obstacle = dict(verdict.parts), verdict.obstacle
            verdict, rule, measures = verdict.word, rule or verdict.rule, measures or verdict.measures
        if not CLAIM.fullmatch(id):
            raise UserError(f"{where}: an id looks like S0-4")
        if verdict not in VERDICTS:
            raise UserError(f"{where}: unknown verdict {verdict!r}; known: {', '.join(VERDICTS)}")
        if verdict == "not tested" and not reason:
            raise UserError(f"{where} is not tested: give reason=… to say why")
        if verdict == "remark" and not reason:
            raise UserError(f"{where} is a remark: give reason=… with what is remarked")
        if verdict not in ("not tested", "remark") and not rule:
            raise UserError(f"{where}: give rule=…, the rule of the verdict in words")
        if basis and basis not in BASES:
            raise UserError(f"{where}: unknown basis {basis!r}; known: {', '.join(BASES)}")
        self._keep(
            "claims",
            id,
            {
                "verdict": verdict,
                "basis": basis or ("arithmetic" if n is None else "runs"),
                "effect": _scalar(effect, where),
                "interval": _interval(interval, where),
                "n": _scalar(n, where),
                "unit": unit,
                "reason": reason,
                "rule": rule,
                "parts": parts,
                "obstacle": obstacle,
                "measures": [_measure(measure, seeds, where) for measure in measures],
            },
        )

    def provenance(self, runs: Sequence[Any]) -> None:
        """The runs of one experiment and profile that the results stand on, as
        `runner.evidence.log.read_runs` gives them."""
        if not runs:
            raise UserError("provenance: no runs; give those that the results stand on")
        manifests = [run.manifest for run in runs]
        experiments = sorted({(m["experiment"], m["profile"]) for m in manifests})
        if len(experiments) > 1:
            raise UserError(f"provenance: one call an experiment and profile, not {experiments}")
        experiment, profile = experiments[0]

        trained = [session for manifest in manifests for session in manifest["sessions"]]

        self._keep(
            "provenance",
            experiment,
            {
                "profile": profile,
                "runs": sorted(
                    (
                        {
                            "name": run.name,
                            "seed": run.manifest.get("seed"),
                            "status": run.manifest["status"],
                            "identity": run.manifest.get("identity"),
                        }
                        for run in runs
                    ),
                    key=lambda r: r["name"],
                ),
                "seeds": every(manifests, "seed"),
                "commits": every(trained, "commit"),
                "machines": every(trained, "environment", "machine"),
                "devices": every(trained, "environment", "device"),
                "precisions": every(trained, "environment", "precision"),
                "corpora": every(manifests, "corpus", "name"),
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything said so far, as plain JSON types."""
        return {"schema": SCHEMA, **self._kept}

    def save(self) -> Path:
        """Write `results.json`, whole or not at all; the same results give the same bytes."""
        path = self.output / "results.json"
        text = json.dumps(self.as_dict(), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(path, text + "\n")
        return path

    def _keep(self, kind: str, name: str, entry: dict[str, Any]) -> None:
        noun = kind.removesuffix("s")
        if kind in ("numbers", "tables", "figures") and not KEBAB.fullmatch(name):
            raise UserError(f"{noun} {name!r}: a name is lower-case words joined by hyphens, such as best-ratio")
        if name in self._kept[kind]:
            raise UserError(f"{noun} {name!r} is given twice")
        self._kept[kind][name] = entry


def _scalar(value: Any, where: str) -> int | float | None:
    """A finite Python number; numpy's scalars are unpacked, and what is not a number is refused."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise UserError(f"{where} is {value}: give None and a reason, if there is no number")
    return value


def _interval(interval: Sequence[Any] | None, where: str) -> list[Any] | None:
    if interval is None:
        return None
    if len(interval) != 2:
        raise UserError(f"{where}: an interval is (low, high), not {interval!r}")
    low, high = (_scalar(end, f"{where}, interval") for end in interval)
    if low is None or high is None or low > high:
        raise UserError(f"{where}: an interval is (low, high) with low <= high, not {tuple(interval)!r}")
    return [low, high]


def _measure(measure: "Measure", seeds: Sequence[int] | None, where: str) -> dict[str, Any]:
    """What a rule looked at, as JSON. Effects of an estimate belong to seeds, or to what `of` says; a plain number has
    one, which belongs to nothing."""
    effects = [_scalar(value, f"{where}, measure {measure.name!r}") for value in measure.effects]
    found = measure.found if measure.seeded else None
    of = getattr(found, "of", None)
    if of == "seed" and seeds is not None and len(seeds) != len(effects):
        raise UserError(f"{where}, measure {measure.name!r}: {len(effects)} effects but {len(seeds)} seeds")
    ends = None if measure.bare else _interval(getattr(found, "interval", None), where)
    return {
        "name": measure.name,
        "mean": getattr(found, "mean", effects[0]),
        "interval": ends,
        "corrected": _interval(measure.corrected, where) if ends else None,
        "side": measure.side,
        "wanted": {1: "above", -1: "below", 0: ""}[measure.wanted],
        "bar": _scalar(measure.bar, f"{where}, bar of {measure.name!r}"),
        "log2": measure.doublings,
        "of": of,
        "seeds": list(seeds if seeds is not None else range(len(effects))) if of == "seed" else None,
        "effects": effects,
    }


def _shown_values(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The plotted series of one panel, checked."""
    if not values.get("series"):
        raise UserError(f"{where}: give values=…, the numbers that it shows, or draw it with analysis.study.figures")
    for series in values["series"]:
        if len(series["x"]) != len(series["y"]):
            raise UserError(f"{where}: series {series['name']!r} has {len(series['x'])} x but {len(series['y'])} y")
    return values


def _cell(value: Any) -> Any:
    """A table's cell as JSON: a number, a text, or nothing for what is missing."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)) or type(value).__name__ == "NAType":
        return None
    return value if isinstance(value, bool | int | float) else str(value)


def _shown(value: Any, form: str | Draw | None) -> str:
    if value is None:
        return "–"
    if callable(form):
        return str(form(value))
    if isinstance(value, bool | str):
        return str(value)
    return format(value, form or ("," if isinstance(value, int) else ".4g")).replace("-", "−")
