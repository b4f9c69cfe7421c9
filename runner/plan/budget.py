"""Token budgets: the number of tokens to train on, as a number or by the name of a preset."""

import re
from decimal import Decimal

from runner.errors import UserError

PRESETS = {
    "gpt2/64": 600_000 * 491_520 // 64,  # 1/64 of nanoGPT's schedule for GPT-2, as GPT-2's own is unpublished
    "webtext/64": 9_035_582_198 // 64,  # 1/64 of an epoch of OpenWebText, by nanoGPT's count
}
NUMBER = re.compile(r"(\d+(?:[_,]\d+)*(?:\.\d+)?) ?([KMB]?)", re.IGNORECASE)
UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}


def tokens(text: str) -> int:
    """The number of tokens that `text` means: `gpt2/64`, `webtext/64`, or a number such as 1_000_000, 10M or 1.5B.

    Raises a `UserError` for anything else, for zero, and for fractions of a token.
    """
    if text in PRESETS:
        return PRESETS[text]
    error = UserError(
        f"{text!r} is no number of tokens: give {', '.join(PRESETS)} or a number such as 1_000_000 or 10M"
    )
    match = NUMBER.fullmatch(text.strip())
    if not match:
        raise error
    count = Decimal(re.sub("[_,]", "", match[1])) * UNITS[match[2].upper()]
    if count < 1 or count != int(count):
        raise error
    return int(count)


def name(steps: int, tokens_per_step: int) -> str | None:
    """The preset whose tokens last exactly `steps` whole steps; None where there is none."""
    return next((preset for preset, count in PRESETS.items() if count // tokens_per_step == steps), None)
