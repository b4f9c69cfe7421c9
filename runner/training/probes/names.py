"""The names of the probes, known without torch, so that an unknown one is refused before anything is begun."""

from runner.errors import UserError
from runner.plan.spec import EvalSpec

ALL = "all"
OBSERVING = (
    "attention_logit",
    "head_pattern_similarity",
    "head_output_similarity",
    "accuracy",
    "position_loss",
    "activation_norm",
    "dead_units",
    "active_units",
    "participation_ratio",
    "open_units",
    "hidden_histogram",
    "gradient_norm",
    "update_ratio",
    "weight_histogram",
    "gradient_histogram",
    "removal",
    "narrowed",
)
# Not among all: they evaluate with other weights, or in another way.
ANEW = ("int8_loss", "codebook_256_loss", "codebook_16_loss", "strided_loss", "strided_position_loss")
NAMES = (*OBSERVING, *ANEW)


def asked(spec: EvalSpec) -> list[str]:
    """The names of the probes that a run asks for, each once; one that does not exist is a `UserError`."""
    names = list(dict.fromkeys([*spec.probes, *(["attention_logit"] if spec.attention_logits else [])]))
    for name in names:
        if name not in (*NAMES, ALL):
            raise UserError(f"eval.probes: unknown probe {name!r}; known: {', '.join(NAMES)}, or {ALL}")
    return list(dict.fromkeys([*(OBSERVING if ALL in names else ()), *(name for name in names if name != ALL)]))
