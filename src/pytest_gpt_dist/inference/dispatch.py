"""Which requests each replica gets."""

from collections.abc import Sequence


def dispatch(costs: Sequence[int], replicas: int) -> tuple[tuple[int, ...], ...]:
    """Deal requests so that the replicas finish together.

    The dearest requests go first, in rounds of one request a replica, each round's dearest to the replica
    that has the least to do. Counts therefore differ by at most one. The outcome depends on nothing but the
    arguments.

    Args:
        costs: what each request costs, in any one unit.
        replicas: number of replicas.

    Returns:
        For each replica the indices of its requests, ascending.
    """
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    shares: list[list[int]] = [[] for _ in range(replicas)]
    loads = [0] * replicas
    for first in range(0, len(order), replicas):
        idlest = sorted(range(replicas), key=lambda replica: (loads[replica], replica))
        for replica, index in zip(idlest, order[first : first + replicas], strict=False):
            shares[replica].append(index)
            loads[replica] += costs[index]
    return tuple(tuple(sorted(share)) for share in shares)
