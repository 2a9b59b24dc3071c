"""What an engine is given, and what it must be: values and protocols, no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.model.config import DecoderConfig
from pytest_gpt_dist.parallel import Layout, Span, split

if TYPE_CHECKING:
    import torch

    from pytest_gpt_dist.inference.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and how many tokens to make from it.

    Attributes:
        index: its place among all requests of the workload; no two have the same.
        prompt: token ids, at least one.
        new_tokens: number of tokens to generate, at least one.

    Raises:
        UsageError: when the prompt is empty or no token is wanted.
    """

    index: int
    prompt: tuple[int, ...]
    new_tokens: int

    def __post_init__(self) -> None:
        if not self.prompt:
            raise UsageError(f"request {self.index}: its prompt has no tokens")
        if self.new_tokens < 1:
            raise UsageError(f"request {self.index}: new_tokens is {self.new_tokens}, must be at least 1")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen from logits; the semantics are those of transformers' logits processors.

    Sampling is on when ``temperature`` or ``top_p`` is given; otherwise the largest logit wins.

    Attributes:
        temperature: divides the logits; above 0.
        top_p: keep the smallest set of most likely tokens whose probability reaches this; above 0, at most 1.
        repetition_penalty: above 1 makes tokens of the prompt and those generated less likely; above 0.
        seed: draws are fixed by seed, request index and position.

    Raises:
        UsageError: when a value is out of its range.
    """

    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"temperature {self.temperature}: must be above 0 (leave it out for greedy decoding)"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p {self.top_p}: must be above 0 and at most 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UsageError(f"repetition_penalty {self.repetition_penalty}: must be above 0")

    @property
    def on(self) -> bool:
        """Whether tokens are drawn rather than the best one taken."""
        return self.temperature is not None or self.top_p is not None


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Requests that pass through a stage together.

    Attributes:
        requests: one a row.
        parts: in how many parts, by rows, the prompts go from stage to stage; after them all rows go together.
    """

    requests: tuple[Request, ...]
    parts: int = 1

    @property
    def rows(self) -> tuple[Span, ...]:
        """Which rows each part of the prompts has."""
        return split(len(self.requests), self.parts)

    @property
    def prompt_tokens(self) -> int:
        """Length of the longest prompt."""
        return max(len(request.prompt) for request in self.requests)

    @property
    def steps(self) -> int:
        """Steps, the prefill included: the most new tokens that one of its requests wants."""
        return max(request.new_tokens for request in self.requests)


@dataclass(frozen=True, slots=True)
class Batch:
    """Microbatches that are in a pipeline at the same time."""

    microbatches: tuple[Microbatch, ...]

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests, in order."""
        return tuple(request for microbatch in self.microbatches for request in microbatch.requests)

    @property
    def passes(self) -> int:
        """Forward passes of all its microbatches: one for each part of the prompts and each step after them."""
        return sum(microbatch.parts + microbatch.steps - 1 for microbatch in self.microbatches)

    @property
    def choices(self) -> int:
        """How often tokens are chosen: the steps of its microbatches, summed."""
        return sum(microbatch.steps for microbatch in self.microbatches)

    @property
    def steps(self) -> int:
        """The most steps of one of its microbatches."""
        return max(microbatch.steps for microbatch in self.microbatches)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, in a form that travels to the ranks.

    Attributes:
        config: the model's shape.
        folder: folder of a safetensors checkpoint, or None for random weights.
        seed: of the random weights.
        dtype: ``float64``, ``float32``, ``bfloat16`` or ``float16``.
        weight_cache: folder of the random weights that ranks have made on the CPU, for those that need them again; None
            where nobody will.
    """

    config: DecoderConfig
    folder: str | None
    seed: int
    dtype: str
    weight_cache: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine is to do, known before any rank starts; some of it may be beyond an engine.

    Attributes:
        source: which model.
        layout: degrees of the world.
        batches: of each replica.
        sampling: how tokens are chosen.
        device: ``cpu`` or ``cuda``.
        staged: whether what ranks on GPUs communicate travels through host memory.
    """

    source: ModelSource
    layout: Layout
    batches: tuple[tuple[Batch, ...], ...]
    sampling: Sampling
    device: str
    staged: bool = False


class Stopwatch(Protocol):
    """Told on the last stage what happens, in the order of the device's stream; decides what a clock is."""

    def begin(self, batch: Batch) -> None:
        """Note that a batch starts."""
        ...

    def token(self, microbatch: Microbatch) -> None:
        """Note that one more token of each of the microbatch's requests exists."""
        ...


class Sampler(Protocol):
    """Samples the next token of each request of a microbatch; all tensor-parallel ranks choose the same."""

    def __call__(self, microbatch: Microbatch, step: int, logits: "torch.Tensor") -> "torch.Tensor":
        """Choose tokens.

        Args:
            microbatch: whose turn it is.
            step: 0 for the first new token; every microbatch begins at 0, skips none, and ends before its
                ``steps``.
            logits: this rank's slice of the logits, ``[requests, len(engine.vocabulary)]``; may be
                overwritten.

        Returns:
            Token ids of the whole vocabulary, ``[requests]``, int64, on the device of the logits.
        """
        ...


class Engine(Protocol):
    """A loaded model on one rank of a group; every method is called on all ranks of its replica alike."""

    @property
    def parameter_bytes(self) -> int | None:
        """Bytes of the parameters really held on this rank, each counted once, wherever else it may lie.

        None where a library does not tell, which is enough as long as no model is divided.
        """
        ...

    @property
    def configuration(self) -> Mapping[str, str | int | bool]:
        """What was chosen among the engine's own ways of working, to be saved with the result."""
        ...

    @property
    def vocabulary(self) -> Span:
        """Which tokens this rank's logits are for; empty on all stages but the last."""
        ...

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens for this replica's batches, one batch after the other.

        Through the stages of a pipeline the prompts of a microbatch pass in its ``parts``: what a round
        communicates is counted, and must be what the layout and the batches say.

        Args:
            batches: the same on all ranks of the replica.
            sampler: called on the last stage; but an engine may take the largest logit itself where
                :func:`~pytest_gpt_dist.inference.engines.samplers.takes_largest` says that the sampler does no more.
            stopwatch: called on the last stage.

        Returns:
            The new tokens by request index, as many as each request wants; empty on all stages but the last.

        Raises:
            UsageError: when a request does not fit into the model's context or vocabulary.
        """
        ...

    def close(self) -> None:
        """Free weights and caches."""
        ...


@runtime_checkable
class SamplesItself(Protocol):
    """What an engine has besides if its library samples every token itself, so that ``generate`` calls no sampler.

    Its logits cannot be looked at while it generates; it shows those of given tokens instead.
    """

    def forced_logits(self, microbatch: Microbatch, tokens: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Return the logits that follow each prompt and each of its given tokens but the last.

        Args:
            microbatch: the prompts.
            tokens: the continuation of each prompt, all of one length.

        Returns:
            ``[requests, tokens, vocabulary]``.
        """
        ...


@runtime_checkable
class CommunicatesItself(Protocol):
    """What an engine has besides if its library may communicate by itself, past the mesh, which then cannot count."""

    @property
    def communicates_itself(self) -> bool:
        """Whether it does, in this layout."""
        ...


# The names by which engines know them that were written earlier.
Chooser = Sampler
ChoosesItself = SamplesItself


class EngineFactory(Protocol):
    """Loads an engine; called on all ranks of a group alike."""

    def __call__(
        self, source: ModelSource, mesh: "Mesh", report: Callable[[int, int], None] | None = None
    ) -> Engine:
        """Load this rank's share of the model.

        Args:
            source: which model.
            mesh: the rank's place and its ways to communicate; also names the device.
            report: told now and then how many bytes of how many are loaded.
        """
        ...
