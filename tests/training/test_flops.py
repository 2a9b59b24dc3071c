"""Operations of a step, by hand for a small model."""

from pytest_gpt_dist.model.presets import GPT2
from pytest_gpt_dist.parallel import Dimensions
from pytest_gpt_dist.training.flops import step_flops

SIZE = Dimensions(
    layers=4, heads=4, kv_heads=4, head_dim=16, hidden=64, mlp=256, vocabulary=256, positions=64,
    learned_positions=True, tied=True, gated=False, attention_bias=True, mlp_bias=True, norm_bias=True,
)  # fmt: skip


def test_products_are_those_that_a_profiler_counts() -> None:
    """FlopCounterMode has 168,689,664 for these 212,992 parameters and 4 rows of 33 tokens, without attention."""
    flops = step_flops(SIZE, [33] * 4, 33, recomputed_layers=0)
    attention = 12 * 4 * 64 * 4 * 33 * 33
    assert flops.model == 168_689_664 + attention
    assert flops.hardware == flops.model
    assert flops.causal == 168_689_664 + 12 * 4 * 64 * 4 * (33 * 34 // 2)


def test_padding_and_recomputation_are_the_hardware_s_alone() -> None:
    short = step_flops(SIZE, [20, 33], 33, recomputed_layers=0)
    full = step_flops(SIZE, [33, 33], 33, recomputed_layers=0)
    assert short.model < full.model
    assert short.hardware == full.model
    again = step_flops(SIZE, [20, 33], 33, recomputed_layers=4)
    assert again.model == short.model
    assert again.hardware > short.hardware


def test_gpt2_takes_six_operations_for_each_parameter_but_positions_and_norms() -> None:
    flops = step_flops(GPT2.config.dimensions, [1024], 1024, recomputed_layers=0)
    assert 6 * 123.5e6 * 1024 < flops.model - 12 * 12 * 768 * 1024**2 < 6 * 124e6 * 1024
