"""Named models: those of the 3x note (source 1), with controls for its comparisons and one model corrected.

The note does not state activation, positions and vocabulary; they are those of its public repository: GELU, rotary
positions, GPT-2's tokens. `norms` are its hybrid post-norm and its norm of queries and keys, which it introduces
together with the narrower MLP.
"""

from dataclasses import replace

from runner.errors import UserError
from runner.models.gpt.spec import GPTSpec

VOCABULARY = 50_257  # GPT-2's
D12 = GPTSpec(n_layer=12, n_head=12, d_model=768, block_size=1024, dropout=0.0, positions="rotary")
D12_MLP3X = replace(D12, n_head=13, d_model=832, mlp_ratio=3.0, qk_norm=True, post_norm=True)

CONFIGS = {
    "d12": D12,
    "d12_norms": replace(D12, qk_norm=True, post_norm=True),
    "d12_r3": replace(D12, mlp_ratio=3.0),
    "d12_r3_norms": replace(D12, mlp_ratio=3.0, qk_norm=True, post_norm=True),
    "d12_mlp3x_plain": replace(D12_MLP3X, qk_norm=False, post_norm=False),
    "d12_mlp3x": D12_MLP3X,
    "d12_gqa": replace(D12, n_kv_head=4),
    "d12_mlp3x_gqa": replace(D12_MLP3X, n_head=12, d_model=768, n_kv_head=4),
    "d12_mlp3x_swiglu": replace(D12_MLP3X, activation="swiglu"),
    "d12_mlp3x_swiglu_matched": replace(D12_MLP3X, activation="swiglu", match_params=True),
    "custom_mlp2x": replace(
        D12_MLP3X, n_head=12, d_model=900, mlp_ratio=2.0
    ),  # as in the note; its heads of 75 units cannot take rotary positions
    "custom_mlp2x_896": replace(D12_MLP3X, n_head=14, d_model=896, mlp_ratio=2.0),  # the correction of it
}

# The note's models and their controls that the 3x post compares.
COMPARED = (
    "d12",
    "d12_r3",
    "d12_mlp3x_plain",
    "d12_mlp3x",
    "d12_mlp3x_gqa",
    "d12_mlp3x_swiglu",
    "d12_mlp3x_swiglu_matched",
)


def named(name: str) -> GPTSpec:
    """The model of that name; a `UserError` for an unknown one."""
    if not isinstance(name, str) or name not in CONFIGS:
        raise UserError(f"unknown model {name!r}; known: {', '.join(CONFIGS)}")
    return CONFIGS[name]
