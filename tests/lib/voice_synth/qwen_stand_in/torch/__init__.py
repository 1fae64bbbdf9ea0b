"""The few names of torch that the adapter of qwen uses, for a machine that has no torch; a test sets what it finds."""

from types import SimpleNamespace

float32, float16, bfloat16 = "float32", "float16", "bfloat16"

SEEDS: list[int] = []


class _OutOfMemoryError(RuntimeError):
    """As `torch.cuda.OutOfMemoryError` is one."""


cuda = SimpleNamespace(
    OutOfMemoryError=_OutOfMemoryError,
    is_available=lambda: False,
    is_bf16_supported=lambda: True,
    empty_cache=lambda: None,
)


def manual_seed(seed: int) -> None:
    """Remember."""
    SEEDS.append(seed)
