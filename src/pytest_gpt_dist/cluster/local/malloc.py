"""How the C library hands out memory in ranks: it keeps what was freed, in large pages."""

from collections.abc import Mapping

_VARIABLE = "GLIBC_TUNABLES"
_TUNABLES = ":".join(
    (
        # Left alone, glibc gives large tensors back when they are freed and gets new pages for the next ones: in a
        # prefill a fault for every 4 KiB. Which tensors are large depends on what was freed before, so two launches
        # of different code differ by more than their code. 32 MiB is the most that it takes.
        f"glibc.malloc.mmap_threshold={2**25}",
        f"glibc.malloc.trim_threshold={2**40}",
        # Weights are read from end to end for every token: fewer pages are fewer translations.
        "glibc.malloc.hugetlb=1",
    )
)


def with_kept_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with settings for glibc 2.35 and later, read at a program's start; the user's own win."""
    given = environment.get(_VARIABLE)
    return {**environment, _VARIABLE: f"{_TUNABLES}:{given}" if given else _TUNABLES}
