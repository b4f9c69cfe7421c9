"""The tokenizers by name. To add one, write its module and one line here."""

from runner.data.tokenizers.bytes import Bytes
from runner.data.tokenizers.characters import Characters
from runner.data.tokenizers.gpt2 import GPT2
from runner.data.tokenizers.p50k import P50k
from runner.data.tokenizers.sentencepiece import SentencePiece
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.data.tokenizers.wordpiece import WordPiece

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "characters": Characters,
    "bytes": Bytes,
    "gpt2": GPT2,
    "p50k_base": P50k,
    "bert-base-uncased": WordPiece,
    "sentencepiece": SentencePiece,
}
