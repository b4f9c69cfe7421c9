"""The tokenizers by name. To add one, write its module and one line here."""

from runner.data.tokenizers.characters import Characters
from runner.data.tokenizers.gpt2 import GPT2
from runner.data.tokenizers.tokenizer import Tokenizer

TOKENIZERS: dict[str, type[Tokenizer]] = {"characters": Characters, "gpt2": GPT2}
