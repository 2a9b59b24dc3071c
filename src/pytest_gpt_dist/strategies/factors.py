"""Divisors of a device count."""

from pytest_gpt_dist.bounds import device_count


def divisors(gpus: int) -> tuple[int, ...]:
    """Return the divisors of a device count, ascending.

    Raises:
        UsageError: when it is no number of devices.
    """
    device_count(gpus)
    return tuple(divisor for divisor in range(1, gpus + 1) if gpus % divisor == 0)


def smallest_degree(gpus: int) -> int:
    """Return the smallest degree above 1 that divides the device count, or 1 for a single device."""
    return divisors(gpus)[:2][-1]
