"""What legal answers cost: the share of decoding that goes into finding legal tokens.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/decoding.py [--model RUN] [--batches N]

Batches of 64 compositions of MP-20's test rows are answered by ``generate`` of transformers, one
random answer each, held to legal tokens. The time of the processor of logits is set against that of
all the rest. ``cold`` asks each composition for the first time in the process, as a user does;
``warm`` asks the same again. Without ``--model`` the model is an untrained one, of the size of
``configs/gen/glm-small-mp20.yaml``. Times are CPU seconds on one thread.
"""

import argparse
import time
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from templates import SYMPREC
from torch import Tensor

from crystal_data import open_store
from crystal_data.cli.text_table import aligned
from crystal_data.sources import MP20
from crystal_data.store import OrbitColumn
from crystal_gen import LanguageModel, SmallLanguageModel, load_symmetry_model
from crystal_gen.language.cursor import Cursor
from crystal_gen.language.decoding import LegalTokens, generate_answers
from crystal_gen.wyckoff.assignment import assignments_of
from crystal_gen.wyckoff.questions import SymmetryQuestion

_BATCH = 64


def questions(num_batches: int) -> list[list[SymmetryQuestion]]:
    """Compositions and z of test rows."""
    store = open_store(MP20(), on_invalid="skip")
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))
    asked = []
    for each in assignments_of(store.add_column(OrbitColumn(SYMPREC)).cut(rows)):
        if each is not None:
            atoms = tuple(each.cell.values())
            z = gcd(*atoms)
            asked.append(SymmetryQuestion(each.elements, tuple(n // z for n in atoms), (z,)))
    return [asked[_BATCH * i : _BATCH * (i + 1)] for i in range(num_batches)]


class Timed:
    """Adds up the time of a function."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    def around(self, function: Any) -> Any:
        """The same function, timed."""

        def timed(*args: Any) -> Tensor:
            start = time.process_time()
            made: Tensor = function(*args)
            self.seconds += time.process_time() - start
            self.calls += 1
            return made

        return timed


def measure(model: LanguageModel, batches: list[list[SymmetryQuestion]]) -> dict[str, float]:
    """Seconds of legal tokens and of the rest, and steps."""
    timed = Timed()
    plain = LegalTokens.__call__
    LegalTokens.__call__ = timed.around(plain)  # type: ignore[method-assign]
    start = time.process_time()
    try:
        for batch in batches:
            # The beginning of an answer is part of what legal answers cost.
            began = time.process_time()
            roots = [Cursor(model.spoken, model.grammar, question) for question in batch]
            timed.seconds += time.process_time() - began
            generate_answers(model.network, model.prompts(batch), roots, do_sample=True)
    finally:
        LegalTokens.__call__ = plain  # type: ignore[method-assign]
    total = time.process_time() - start
    rest = total - timed.seconds
    return {
        "legal tokens, s": timed.seconds,
        "rest, s": rest,
        "steps": timed.calls,
        "overhead": timed.seconds / rest,
    }


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FOLDER")
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS / "decoding.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load_symmetry_model(args.model) if args.model else SmallLanguageModel([])
    if not isinstance(model, LanguageModel):
        parser.error(f"{args.model} is no language model")
    model.eval()
    # The first batch pays for what a process does once.
    _, *batches = questions(args.batches + 1)
    measure(model, questions(1))
    results = {name: measure(model, batches) for name in ("cold", "warm")}
    names = list(results["cold"])
    table = [("", *names)]
    table += [(kind, *(f"{each[name]:.3g}" for name in names)) for kind, each in results.items()]
    print("\n".join(aligned(table)))
    write(args.out, {"batch": _BATCH, "batches": len(batches), "measured": results})


if __name__ == "__main__":
    main()
