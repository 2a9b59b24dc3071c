"""The dtypes that a model can run in, by the names that torch and the options give them."""

from typing import TYPE_CHECKING

from pytest_gpt_dist.errors import UsageError, quoted

if TYPE_CHECKING:
    import torch

_ITEMSIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def itemsize(name: str) -> int:
    """Return the bytes of one number.

    Raises:
        UsageError: when there is no dtype of that name.
    """
    if name not in _ITEMSIZES:
        raise UsageError(f"dtype {quoted(name)} is not supported; these are: {', '.join(_ITEMSIZES)}")
    return _ITEMSIZES[name]


def torch_dtype(name: str) -> "torch.dtype":
    """Return torch's dtype of that name; imports torch.

    Raises:
        UsageError: when there is no dtype of that name.
    """
    import torch  # noqa: PLC0415  the names are of use without it

    itemsize(name)
    dtype: torch.dtype = getattr(torch, name)
    return dtype
