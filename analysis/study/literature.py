"""What the literature says: published models and the widths of their MLPs, and statements on single claims.

The widths come from the papers and configuration files of their authors.

One row a model: its stream width (d_model), its MLP's hidden width (d_ff), whether the MLP is gated (three matrices
instead of two, so that equal parameters mean two thirds of the width), the year, and where the widths are stated.
Selected by hand, before they were counted: dense stacks that introduced a family or are widely built upon, with the
sizes of a family that differ in ratio or are best known. They are no random sample, and sizes of one family are not
independent. Mixtures of experts are left out: their ratio is not one number.

Below them what papers and public records say of the ratio itself, each in our words, with the place where it says so.
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
class Statement:
    """What a document says on a claim, in our words: `side` is +1 where it speaks for it, -1 against, 0 for neither."""

    claim: str
    source: str
    says: str
    side: int

    def __str__(self) -> str:
        return f"{self.source}: {self.says}"


STATEMENTS = (
    Statement(
        "S1-17",
        "Kaplan et al. 2020 (scaling laws)",
        "at an equal number of parameters the loss depends only weakly on the shape, the width of the MLP included",
        1,
    ),
    Statement(
        "S1-17",
        "Touvron et al. 2023 (LLaMA)",
        "takes two thirds of 4 because its MLP is gated, which is as many parameters as a plain one of 4",
        0,
    ),
    Statement(
        "S1-17",
        "Chowdhery et al. 2022 (PaLM)",
        "takes 4 and a gated MLP, which is as many parameters as a plain one of 6",
        -1,
    ),
    Statement("S3-1", "the issue itself", "quotes the line of code, and gives the expansion as 4", 1),
    Statement(
        "S3-1",
        "train.py of karpathy/autoresearch, of which the issue's repository is a fork, in a public copy",
        "has an MLP of 4 times the width with the square of ReLU",
        1,
    ),
    Statement(
        "S4-10",
        "the builder of the data set that the source links to (tensorflow/datasets, its tiny_shakespeare)",
        "cuts it 90/5/5",
        0,
    ),
    Statement(
        "S4-22",
        "Brown et al. 2020 (GPT-3), section 2.1",
        "“alternating dense and locally banded sparse attention patterns in the layers of the transformer, similar to "
        "the Sparse Transformer”",
        1,
    ),
    Statement(
        "S3-4",
        "Shazeer 2020 (GLU variants)",
        "finds SwiGLU better than ReLU, GELU and Swish, and does not try the square of ReLU",
        0,
    ),
    Statement(
        "S3-4",
        "So et al. 2021 (Primer)",
        "finds the square of ReLU better than the gated variants, with fewer parameters",
        -1,
    ),
    Statement(
        "S3-4",
        "Zhang et al. 2024 (ReLU² wins)",
        "compares four activations at one size, SwiGLU among them, and prefers the square of ReLU where few units may "
        "be active",
        0,
    ),
)  # collected by hand; no list of all that was written


def on(claim: str) -> list[Statement]:
    """The statements on a claim."""
    return [one for one in STATEMENTS if one.claim == claim]


@dataclass(frozen=True)
class Finding:
    """What a study says of the width of MLPs. `ratios` is the range that it found level, or the one that it settled on,
    as d_ff / d_model of a plain MLP; None where it speaks of something else. `held` is what it held equal."""

    study: str
    year: int
    held: str
    says: str
    where: str
    link: str
    ratios: tuple[float, float] | None = None


FINDINGS = (
    Finding(
        "Kaplan et al., scaling laws",
        2020,
        "parameters",
        "loss changes by a few percent over ratios from about 1 to 10",
        "figure 5, left, 50 million parameters",
        "https://arxiv.org/abs/2001.08361",
        (1, 10),
    ),
    Finding(
        "Shazeer, GLU variants",
        2020,
        "parameters",
        "gated MLPs of two thirds of the hidden width, 2048 at a width of 768, do better than plain ones of 3072",
        "section 3, tables 1 to 4",
        "https://arxiv.org/abs/2002.05202",
        (4, 4),
    ),
    Finding(
        "Zhang et al., MoEfication",
        2022,
        "the trained model",
        "with 10 to 30% of the MLPs' parameters in use for each input, over 95% of the performance stays",
        "abstract",
        "https://arxiv.org/abs/2110.01786",
    ),
    Finding(
        "Pires et al., One Wide Feedforward",
        2023,
        "parameters",
        "one wide MLP shared by the layers of the encoder, and none in the decoder, does better and is faster in "
        "translation",
        "abstract",
        "https://arxiv.org/abs/2309.01826",
    ),
    Finding(
        "Devvrit et al., MatFormer",
        2023,
        "training of all sizes together",
        "MLPs nested in one another give models of many widths; Gemma 3n holds ratios 4 and 8 in one model",
        "abstract; Gemma's cookbook, hidden widths of 8,192 and 16,384 at a width of 2,048",
        "https://arxiv.org/abs/2310.07707",
        (4, 8),
    ),
    Finding(
        "Bian et al., architecture in scaling laws",
        2025,
        "parameters and tokens",
        "loss is U-shaped in the parameters of MLPs over those of attention: there is an optimum",
        "section 3",
        "https://arxiv.org/abs/2510.18245",
    ),
    Finding(
        "Ikeda et al., layerwise importance",
        2025,
        "parameters",
        "MLPs in the middle 70% of the layers alone, and wider there, do better than the same in each",
        "abstract",
        "https://arxiv.org/abs/2508.17734",
    ),
    Finding(
        "Baroian and Notebomer, Crown, Frame, Reverse",
        2025,
        "parameters",
        "several placements of width end at similar losses, all of them below that of equal layers",
        "abstract, 180 million parameters",
        "https://arxiv.org/abs/2509.06518",
    ),
    Finding(
        "Bayat et al., tapered language models",
        2026,
        "parameters",
        "more MLP width in early layers is better than the same in each, and more in late layers is worse",
        "abstract",
        "https://arxiv.org/abs/2606.23670",
    ),
    Finding(
        "Wu et al., variable-width transformers",
        2026,
        "parameters",
        "wide first and last layers around narrow ones in the middle, streams included, do better than equal layers",
        "abstract",
        "https://arxiv.org/abs/2606.18246",
    ),
    Finding(
        "Parameter golf, public submissions",
        2026,
        "bytes and time",
        "many submissions of the first weeks widened the MLP of the baseline to 3",
        "pull requests 331 and 465 among others",
        "https://github.com/openai/parameter-golf",
        (3, 3),
    ),
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

# The samples of 100 tokens that the study's source shows, under the headings of its models.
STUDY_SAMPLES = {
    "Transformer": """\
 him, hisMA, unbelievably do
MENblueilia make, toMinoruh still quart him.

vis fearful: be'd!
My speak ',
You you us brother know the crimesICH UntilB
R Canter1950AR worldatur HELt may of,
 lighter will I:
Or prostitute thou what Evolution to toS the Norse

R heliumest the recalls; fast Surgery a 330 ofWilliams.

CU art:
Th is IISTORY?
""",
    "MLP": """\
 him, hisMA, unbelievably do
MENblueilia make, toMinoruh still quart him.

vis fearful: be'd!
My speak ',
You you us brother know the crimesICH UntilB
R Canter1950AR worldatur HELt may of,
 lighter will I:
Or prostitute thou what Evolution to toS the Norse

R heliumest the recalls; fast Surgery a 330 ofWilliams.

CU art:
Th is IISTORY?
""",
}
