"""Which of transformers' documented ways to generate is fastest here: what its engine is configured by.

`python scripts/transformers_configurations.py [--model gpt2] [--dtype float32] [--threads 1] [--rounds 5]` takes
turns between the dynamic cache, the static cache, and the static cache with compiled decode steps (on a GPU the last
two are one: there `generate` compiles by itself).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import CompileConfig, GenerationConfig

from pytest_gpt_dist.host.machine import cpu_name
from pytest_gpt_dist.inference.engines.hugging_face import load_whole_model
from pytest_gpt_dist.inference.engines.protocol import ModelSource
from pytest_gpt_dist.registry import Registry, builtin


def configurations(new_tokens: int) -> dict[str, Any]:
    """Return what `generate` is given, by name."""
    everywhere: Any = CompileConfig(fullgraph=True)
    everywhere._compile_all_devices = True
    return {
        name: GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=new_tokens, do_sample=False, eos_token_id=None, pad_token_id=0, **values
        )
        for name, values in {
            "dynamic": {},
            "static": {"cache_implementation": "static", "disable_compile": True},
            "static, compiled": {"cache_implementation": "static", "compile_config": everywhere},
        }.items()
    }


def main() -> None:
    """Measure, print a table, and write the raw samples if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="gpt2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--output", type=Path, help="file for the samples, as JSON")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    cuda = torch.cuda.is_available()
    registry = Registry()
    builtin(registry)
    config = registry.model(asked.model).config
    model: Any = load_whole_model(ModelSource(config, None, 0, asked.dtype))
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    model = model.to("cuda" if cuda else "cpu")
    prompts = torch.randint(config.dimensions.vocabulary, (asked.batch_size, asked.prompt_tokens))
    prompts = prompts.to(model.device)
    ways = configurations(asked.new_tokens)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(asked.rounds + 1):  # the first is warm-up, and where there is something to compile
        for name, way in ways.items():
            start_s = time.perf_counter()
            model.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=way).tolist()
            if number:
                seconds[name].append(time.perf_counter() - start_s)
    tokens = asked.batch_size * asked.new_tokens
    rows = [[name, tokens / min(samples), tokens / max(samples)] for name, samples in seconds.items()]
    print(tabulate(rows, headers=["cache", "best tokens/s", "worst"], floatfmt=".1f"))
    if asked.output is not None:
        figures = {
            "machine": torch.cuda.get_device_name() if cuda else cpu_name(),
            **{name: value for name, value in vars(asked).items() if name != "output"},
            "unit": "seconds a generation",
            "seconds": seconds,
        }
        asked.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
