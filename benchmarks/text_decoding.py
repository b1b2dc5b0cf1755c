"""What decoding inside the grammar costs, and what batches and a cache save.

    python benchmarks/text_decoding.py
    python benchmarks/text_decoding.py --sizes small t5-small --batch-size 64 --rounds 5

Weights are random, which changes neither the number of steps nor their cost; times are those of
one core (set OMP_NUM_THREADS=1). The grammar is
compared with the same loop without it, round by round; the batch with a cache with transformers'
plain `generate` of one structure after another without one. Then all crystals of 1 to 52 atoms are
written at temperatures from 0 to 2, and how many texts are changes of their own elements is
counted, beside how many are without the grammar.
"""

import argparse
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, ratios, spread, write

from crystal_data import Crystal
from crystal_relax import TextRelaxer
from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.decoding import write_changes
from crystal_relax.text.model import Encoded
from crystal_relax.text.tokens import ChangeTextError, ChangeTokenizer

SIZES: dict[str, dict[str, int]] = {
    "small": {"width": 128, "num_layers": 3, "num_heads": 4, "feedforward": 512},
    "t5-small": {"width": 512, "num_layers": 6, "num_heads": 8, "feedforward": 2048},
}
TEMPERATURES = (0.0, 0.5, 1.0, 2.0)


def crystals(sizes: list[int]) -> list[Crystal]:
    """Random ones, some in skewed cells."""
    rng = np.random.default_rng(0)
    found = []
    for place, size in enumerate(sizes):
        lattice = 3.0 * size ** (1 / 3) * (np.eye(3) + 0.6 * np.tril(rng.random((3, 3)), -1))
        numbers = rng.integers(1, 95, size)
        found.append(Crystal(lattice, rng.random((size, 3)), numbers, f"crystal-{place}"))
    return found


def seconds(work: Callable[[], object]) -> float:
    """Of one call: of this process, which a busy machine changes little."""
    start = process_time()
    work()
    return process_time() - start


def model_of(size: str) -> TextRelaxer:
    """Of random weights."""
    torch.manual_seed(0)
    return TextRelaxer(**SIZES[size]).eval()  # type: ignore[arg-type]


@torch.no_grad()
def overhead(model: TextRelaxer, starts: list[Crystal], rounds: int) -> dict[str, Any]:
    """Time with the grammar over that without it, as a share."""
    encoded = Encoded(*model.encoded(model.start_batch(starts)))
    numbers = [start.atomic_numbers for start in starts]

    def run(constrained: bool) -> object:
        # A fresh one each time: making it is part of its cost.
        constraint = ChangeConstraint(model.tokenizer, numbers)
        return write_changes(model, encoded, constraint, constrained=constrained)

    run(True)
    free, held = [], []
    for _ in range(rounds):
        free.append(seconds(lambda: run(False)))
        held.append(seconds(lambda: run(True)))
    return {
        "structures/s": spread([len(starts) / one for one in held]),
        "overhead": spread([one / other - 1 for one, other in zip(held, free, strict=True)]),
    }


@torch.no_grad()
def gain(
    model: TextRelaxer, starts: list[Crystal], rounds: int, plain_count: int
) -> dict[str, Any]:
    """Batched with a cache, over transformers' own loop, one structure at a time, without one."""
    chosen = starts[:: max(1, len(starts) // plain_count)][:plain_count]

    def plain() -> None:
        for start in chosen:
            batch = model.start_batch([start])
            constraint = ChangeConstraint(model.tokenizer, [start.atomic_numbers])
            # Slots are left out here; they are an addition and cost next to nothing.
            model.t5.generate(
                input_ids=batch.tokens,
                attention_mask=batch.mask,
                max_new_tokens=constraint.max_new_tokens,
                logits_processor=[constraint],
                do_sample=False,
                use_cache=False,
            )

    one, many = [], []
    for _ in range(rounds):
        one.append(seconds(plain) / len(chosen))
        many.append(seconds(lambda: model.relaxed(starts)) / len(starts))
    return {"plain structures/s": spread([1 / x for x in one]), "speedup": ratios(one, many)}


@torch.no_grad()
def validity(model: TextRelaxer, starts: list[Crystal]) -> dict[str, dict[str, float]]:
    """Share of texts that are a change of the crystal's own elements."""
    found: dict[str, dict[str, float]] = {}
    numbers = [start.atomic_numbers for start in starts]
    encoded = Encoded(*model.encoded(model.start_batch(starts)))
    constraint = ChangeConstraint(model.tokenizer, numbers)
    shape = (len(starts), constraint.max_new_tokens)
    draws = torch.from_numpy(np.random.default_rng(0).random(shape))
    for temperature in TEMPERATURES:
        for constrained in (True, False):
            tokens = write_changes(
                model, encoded, constraint, temperature=temperature, draws=draws,
                constrained=constrained,
            )  # fmt: skip
            name = "grammar" if constrained else "free"
            found.setdefault(str(temperature), {})[name] = float(
                np.mean(
                    [
                        _is_change(model.tokenizer, *pair)
                        for pair in zip(tokens, numbers, strict=True)
                    ]
                )
            )
    return found


def _is_change(tokenizer: ChangeTokenizer, tokens: torch.Tensor, numbers: Any) -> bool:
    try:
        tokenizer.decode(tokens.numpy(), numbers)
    except ChangeTextError:
        return False
    return True


def main() -> None:
    """Measures each size, and writes what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--atoms", type=int, nargs=2, default=(1, 20), help="smallest and largest")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain", type=int, default=4, help="structures of the plain loop")
    args = parser.parse_args()
    torch.manual_seed(0)
    sizes = np.random.default_rng(1).integers(args.atoms[0], args.atoms[1] + 1, args.batch_size)
    starts = crystals(sorted(sizes.tolist()))
    results: dict[str, Any] = {"batch_size": args.batch_size, "atoms": list(args.atoms)}
    for size in args.sizes:
        model = model_of(size)
        results[size] = overhead(model, starts, args.rounds) | gain(
            model, starts, args.rounds, args.plain
        )
        print(size, results[size], flush=True)
        write(RESULTS / "text-decoding.json", results)
    results["valid"] = validity(model_of(args.sizes[0]), crystals(list(range(1, 53))))
    print("valid", results["valid"])
    write(RESULTS / "text-decoding.json", results)


if __name__ == "__main__":
    main()
