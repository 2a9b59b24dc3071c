"""Whether a result may have numbers: the rule that compares it with the single-device reference."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

CHECKED_STEPS = 9  # the prefill and eight decode steps
_BOUNDS = {"float64": 1e-9, "float32": 1e-4}
EXACT_TOKENS = tuple(_BOUNDS)  # formats in which greedy tokens must be equal
_SIXTEEN_BIT_FACTOR = 2.0


@dataclass(frozen=True)
class Exactness:
    """How far a layout's logits are from the reference's.

    ``max_logit_error`` is the largest difference, forced to the reference's tokens, relative to the
    largest |logit| of the same request. ``own_error`` is, in 16 bits, that of one device in the same
    format against the float32 reference.
    """

    dtype: str
    max_logit_error: float
    tokens_equal: bool
    own_error: float | None = None

    @property
    def bound(self) -> float:
        """The largest error that still counts as the same result."""
        if self.dtype in _BOUNDS:
            return _BOUNDS[self.dtype]
        if self.own_error is None:
            raise ValueError(f"{self.dtype} is judged by one device's own error, and there is none")
        return _SIXTEEN_BIT_FACTOR * self.own_error

    @property
    def matches_reference(self) -> bool:
        """True within the bound and, in float32 and float64, with equal greedy tokens; False for NaN."""
        close = isfinite(self.bound) and self.max_logit_error <= self.bound
        return close and (self.tokens_equal or self.dtype not in _BOUNDS)

    def describe(self) -> str:
        """Return what was found, in one line."""
        if not isfinite(self.bound):
            return (
                f"one device alone overflows in {self.dtype}, so nothing can be checked; choose another dtype"
            )
        tokens = "" if self.tokens_equal or self.dtype not in _BOUNDS else ", and greedy tokens differ"
        return f"logits are {self.max_logit_error:.3g} away in {self.dtype} (bound {self.bound:.3g}){tokens}"


def reference_dtype(dtype: str) -> str:
    """Return the format of the reference: float64 for itself, float32 for everything else."""
    return dtype if dtype == "float64" else "float32"


def checked_steps(longest_prompt: int, context: int) -> int:
    """How many forward passes are compared: nine, or as many as the context has room for."""
    return min(CHECKED_STEPS, context - longest_prompt)
