"""The rule that decides whether a training is that of one process: bounds by number format, as pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

_SIXTEEN_BIT_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Largest errors that still count as the same result.

    Attributes:
        gradient: of a tensor of gradients, ``‖g - g₀‖ ÷ ‖g₀‖``, and of all of them together.
        loss: of each loss, relative.
        floor: share of the whole gradient's norm below which a tensor's own norm does not count as its size, because
            it is rounding.
        norm: largest relative difference between the norms that ranks report of one and the same gradient.
        parameters: of a tensor of parameters after the last checked step, and of all of them together; None for no
            bound, as AdamW makes whole steps out of what is rounding in shorter formats.
    """

    gradient: float
    loss: float
    floor: float
    norm: float
    parameters: float | None = None


_BOUNDS = {
    "float64": Bounds(gradient=1e-9, loss=1e-10, floor=1e-6, norm=1e-12, parameters=1e-9),
    "float32": Bounds(gradient=1e-4, loss=1e-5, floor=1e-3, norm=1e-6),
}
_SIXTEEN_BIT_FLOOR = 1e-2
_UNIT_ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The largest relative error of rounding one number to the format."""
PARAMETER_FLOOR = 1e-3
"""Share of all parameters' norm below which a tensor's own norm does not count as its size."""


def bounds(dtype: str, own: Bounds | None = None) -> Bounds:
    """Return the bounds of a format; in 16 bits twice the errors that one process has in it against float32.

    A gradient's error is that of thousands of numbers and comes out alike each time. A loss is one number, whose
    rounding may happen to cancel in one process: its bound is at least one rounding of the format.
    """
    if dtype in _BOUNDS:
        return _BOUNDS[dtype]
    if own is None:
        raise ValueError(f"{dtype} is judged by one process's own errors, and there are none")
    return Bounds(
        gradient=_SIXTEEN_BIT_FACTOR * own.gradient,
        loss=max(_SIXTEEN_BIT_FACTOR * own.loss, _UNIT_ROUNDOFF[dtype]),
        floor=_SIXTEEN_BIT_FLOOR,
        norm=own.norm,
    )


def floor_of(dtype: str) -> float:
    """Return the share of the whole norm below which a tensor's own norm is rounding."""
    return _BOUNDS[dtype].floor if dtype in _BOUNDS else _SIXTEEN_BIT_FLOOR


def reference_dtype(dtype: str) -> str:
    """Return the format of the reference: float64 for itself, float32 for everything else."""
    return dtype if dtype == "float64" else "float32"


@dataclass(frozen=True)
class GradientErrors:
    """How far gradients, or parameters, are from those of one process.

    Attributes:
        by_tensor: relative error of each tensor, by its name.
        total: of all together.
    """

    by_tensor: Mapping[str, float]
    total: float

    @property
    def worst(self) -> tuple[str, float]:
        """Return the name and the error of the tensor that is farthest; what is no number is farthest of all.

        Of no tensors at all there is none.
        """
        if not self.by_tensor:
            return "none", 0.0
        name = max(self.by_tensor, key=lambda each: _distance(self.by_tensor[each]))
        return name, self.by_tensor[name]


def gradient_problem(found: GradientErrors, names: Sequence[str], allowed: Bounds) -> str | None:
    """Return in a line why gradients are not those of one process, or None.

    Args:
        found: their errors.
        names: of all tensors that must have been compared.
        allowed: how large errors may be.
    """
    if missing := [name for name in names if name not in found.by_tensor]:
        return f"gradient of {missing[0]}: nothing to compare, and of {len(missing) - 1} tensors more"
    name, error = found.worst
    if not error <= allowed.gradient:
        return (
            f"gradient of {name} is {error:.3g} away from one process's (bound {allowed.gradient:.3g},"
            f" all together {found.total:.3g})"
        )
    if not found.total <= allowed.gradient:
        return f"gradients are {found.total:.3g} away from one process's (bound {allowed.gradient:.3g})"
    return None


def parameter_problem(found: GradientErrors, allowed: Bounds) -> str | None:
    """Return in a line why parameters after the last step are not those of one process, or None."""
    name, error = found.worst
    if allowed.parameters is None or (error <= allowed.parameters and found.total <= allowed.parameters):
        return None
    return (
        f"{name} after the last checked step is {error:.3g} away from one process's (bound {allowed.parameters:.3g},"
        f" all together {found.total:.3g})"
    )


def whole_norm_problem(norm: float, reference: float, allowed: Bounds) -> str | None:
    """Return in a line why a norm, as a step computed it for clipping, is not that of one process, or None."""
    off = abs(norm - reference) / reference
    if off <= allowed.gradient:
        return None
    return (
        f"norm of the gradient before clipping is {norm:.9g}, one process has {reference:.9g} ({off:.3g} away,"
        f" bound {allowed.gradient:.3g})"
    )


def norm_problem(norms: Sequence[float], allowed: Bounds) -> str | None:
    """Return in a line by how much the ranks' norms of one gradient differ, or None; ``norms`` are by rank."""
    lowest, highest = min(norms), max(norms)
    if all(map(isfinite, norms)) and highest - lowest <= allowed.norm * highest:
        return None
    low, high = norms.index(lowest), norms.index(highest)
    return f"norm of the gradient is {lowest:.9g} on rank {low} and {highest:.9g} on rank {high}"


def loss_problem(losses: Sequence[float], reference: Sequence[float], allowed: Bounds) -> str | None:
    """Return in a line which step's loss is not that of one process, or None."""
    for step, (loss, expected) in enumerate(zip(losses, reference, strict=True), 1):
        off = loss_error(loss, expected)
        if not off <= allowed.loss:
            return (
                f"loss of step {step} is {loss:.9g}, one process has {expected:.9g}"
                f" ({off:.3g} away, bound {allowed.loss:.3g})"
            )
    return None


def loss_error(loss: float, expected: float) -> float:
    """Return how far a loss is from what it should be, relative to that."""
    return abs(loss - expected) / abs(expected)


def _distance(error: float) -> float:
    return error if isfinite(error) else float("inf")
