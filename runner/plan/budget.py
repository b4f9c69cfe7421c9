"""How many tokens to train on: by the name of a preset, or as a number. GPT-2's own count was never published."""

import re
from decimal import Decimal

from runner.errors import UserError

PRESETS = {
    "gpt2/64": 600_000 * 491_520 // 64,  # nanoGPT's schedule for GPT-2, iterations x tokens, a 64th of it
    "webtext/64": 9_035_582_198 // 64,  # nanoGPT's count of OpenWebText's training tokens, a 64th of one epoch
}
NUMBER = re.compile(r"(\d+(?:[_,]\d+)*(?:\.\d+)?) ?([KMB]?)", re.IGNORECASE)
UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}


def tokens(text: str) -> int:
    """The tokens that `text` stands for: `gpt2/64`, `webtext/64`, or a number such as 1_000_000, 10M or 1.5B.

    Raises a `UserError` for anything else, for none, and for parts of a token.
    """
    if text in PRESETS:
        return PRESETS[text]
    wrong = UserError(
        f"{text!r} is no number of tokens: give {', '.join(PRESETS)} or a number such as 1_000_000 or 10M"
    )
    match = NUMBER.fullmatch(text.strip())
    if not match:
        raise wrong
    count = Decimal(re.sub("[_,]", "", match[1])) * UNITS[match[2].upper()]
    if count < 1 or count != int(count):
        raise wrong
    return int(count)


def name(steps: int, tokens_per_step: int) -> str | None:
    """The preset that stands for so many whole steps; None where none does."""
    return next((preset for preset, count in PRESETS.items() if count // tokens_per_step == steps), None)
