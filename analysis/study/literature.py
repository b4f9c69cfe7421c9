"""Published models and the widths of their MLPs, from the papers and configuration files of their authors.

One row a model: its stream width (d_model), its MLP's hidden width (d_ff), whether the MLP is gated (three matrices
instead of two, so that equal parameters mean two thirds of the width), the year, and where the widths are stated.
Selected by hand, before they were counted: dense stacks that introduced a family or are widely built upon, with the
sizes of a family that differ in ratio or are best known. They are no random sample, and sizes of one family are not
independent. Mixtures of experts are left out: their ratio is not one number.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A model and its widths."""

    model: str
    d_model: int
    d_ff: int
    gated: bool
    year: int
    source: str

    @property
    def ratio(self) -> float:
        """d_ff / d_model."""
        return self.d_ff / self.d_model


MODELS = (
    Published("Transformer base", 512, 2048, False, 2017, "Vaswani et al., table 3"),
    Published("GPT", 768, 3072, False, 2018, "Radford et al., section 4.1"),
    Published("BERT base", 768, 3072, False, 2018, "Devlin et al., section 3"),
    Published("BERT large", 1024, 4096, False, 2018, "Devlin et al., section 3"),
    Published("GPT-2", 768, 3072, False, 2019, "released code: 4 × n_embd"),
    Published("GPT-2 XL", 1600, 6400, False, 2019, "released code: 4 × n_embd"),
    Published("T5 base", 768, 3072, False, 2019, "Raffel et al., section 3.1.1"),
    Published("T5 3B", 1024, 16384, False, 2019, "Raffel et al., section 3.7"),
    Published("T5 11B", 1024, 65536, False, 2019, "Raffel et al., section 3.7"),
    Published("GPT-3 175B", 12288, 49152, False, 2020, "Brown et al., section 2.1: 4 × d_model"),
    Published("GPT-J 6B", 4096, 16384, False, 2021, "model card"),
    Published("Gopher 280B", 16384, 65536, False, 2021, "Rae et al., section 2.1: 4 × d_model"),
    Published("Chinchilla 70B", 8192, 32768, False, 2022, "Hoffmann et al., section 4.1"),
    Published("OPT 175B", 12288, 49152, False, 2022, "released configuration"),
    Published("GPT-NeoX 20B", 6144, 24576, False, 2022, "Black et al., section 2"),
    Published("BLOOM 176B", 14336, 57344, False, 2022, "Le Scao et al., section 3.2"),
    Published("Pythia 6.9B", 4096, 16384, False, 2023, "released configuration"),
    Published("Falcon 40B", 8192, 32768, False, 2023, "released configuration"),
    Published("MPT 7B", 4096, 16384, False, 2023, "released configuration"),
    Published("Phi-2", 2560, 10240, False, 2023, "released configuration"),
    Published("T5 v1.1 base", 768, 2048, True, 2020, "released configuration"),
    Published("PaLM 540B", 18432, 73728, True, 2022, "Chowdhery et al., section 2: 4 × d_model"),
    Published("LLaMA 7B", 4096, 11008, True, 2023, "released configuration"),
    Published("LLaMA 65B", 8192, 22016, True, 2023, "released configuration"),
    Published("Llama 2 70B", 8192, 28672, True, 2023, "released configuration"),
    Published("Mistral 7B", 4096, 14336, True, 2023, "Jiang et al., table 1"),
    Published("Qwen 7B", 4096, 11008, True, 2023, "released code: half of intermediate_size"),
    Published("Gemma 2B", 2048, 16384, True, 2024, "released configuration"),
    Published("Llama 3 8B", 4096, 14336, True, 2024, "Grattafiori et al., table 3"),
    Published("Qwen2 7B", 3584, 18944, True, 2024, "Yang et al., table 1"),
    Published("OLMo 7B", 4096, 11008, True, 2024, "released configuration"),
)


@dataclass(frozen=True)
class Size:
    """One of source 2's models as it states it: its parameters in millions, and its validation perplexity."""

    width: int  # found here: the one at which the parameters come out
    millions: float
    perplexity: float


# The page on a Mini GPT (source 2): its sizes, and what it says of its training.
MINI_GPT = {
    "small": Size(128, 1.05, 17.75),
    "medium": Size(256, 3.40, 10.23),
    "large": Size(384, 7.07, 8.08),
}
MINI_GPT_VOCABULARY, MINI_GPT_TOKENS = 3000, 104e6
MINI_GPT_PACE, MINI_GPT_MINUTES = 39_500, 35  # tokens a second at its peak, of the medium model
MINI_GPT_FIRST_LOSS = 7.37
