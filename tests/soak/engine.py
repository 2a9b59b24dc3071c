"""The native engine, but for what a fault has one of its ranks do."""

import ctypes
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch

from patience import FOREVER_S
from pytest_gpt_dist.cluster.rank import this_rank
from pytest_gpt_dist.inference.engines.native import NativeEngine
from pytest_gpt_dist.inference.engines.protocol import Batch, ModelSource, Sampler, Stopwatch
from pytest_gpt_dist.inference.mesh import Mesh
from soak.cases import CASE_OF_LENGTH, CASES
from soak.gates import hold


class Soaked(NativeEngine):
    """Stands still at the gate of each call of ``generate``."""

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        super().__init__(source, mesh, report)
        self._calls = 0
        self._alters = False

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        me = this_rank()
        case = CASE_OF_LENGTH[len(batches[0].requests[0].prompt)]
        if me.world_size == CASES[case].gpus:  # else it is the one device that the case is compared with
            act = hold(f"{case}.within{self._calls}", rank=me.rank)
            self._calls += 1
            # Of a model that is divided one rank tells the tokens, so all of them make wrong ones.
            if act is not None and (act["rank"] == me.rank or act["act"] == "alter"):
                self._do(act["act"])
        tokens = super().generate(batches, sampler, stopwatch)
        if self._alters:
            return {index: [(ids[0] + 1) % 307, *ids[1:]] for index, ids in tokens.items()}
        return tokens

    def _do(self, act: str) -> None:
        match act:
            case "raise":
                raise ValueError("soaked")
            case "leave":
                sys.exit(3)
            case "exit":
                os._exit(4)
            case "crash":
                ctypes.string_at(0)
            case "hang":
                time.sleep(FOREVER_S)
            case "allocate":
                torch.empty(2**55, dtype=torch.uint8)
            case "print":
                print("soaked\n" * 2**20, flush=True)
            case "alter":
                self._alters = True
            case "hang up" | "babble":
                for line in map(int, os.listdir("/proc/self/fd")):
                    if line > 2 and _is_unix_socket(line):
                        _end(line, act)
                time.sleep(FOREVER_S)


def _end(line: int, act: str) -> None:
    if act == "babble":
        os.write(line, b"no message of ours " * 100)
    else:
        os.close(line)


def _is_unix_socket(line: int) -> bool:
    with suppress(OSError), socket.socket(fileno=os.dup(line)) as duplicate:
        return duplicate.family == socket.AF_UNIX
    return False
