"""A model of ``crystal_embed``, for ``run.py``; runs in our environment.

    python benchmarks/peers/crystal_worker.py ROWS OUT --config cgcnn-mp20
        --epochs 30 --batch-size 64 --seed 0

It is ``crystal-embed fit`` and ``crystal-embed test`` with a config that ships, and its settings
for all but data, epochs, batch size and seed: absolute error, AdamW, one cycle, a moving average of
the weights, and the checkpoint with the lowest MAE on the validation rows.
"""

import csv
from typing import Any

import worker
from typing_extensions import override

from crystal_data.training.cli import CrystalCLI

TARGET = "formation_energy_per_atom"


class Timed(CrystalCLI):
    """The command, which reads a clock before and after training."""

    clock = worker.Clock()

    @override
    def before_fit(self) -> None:
        self.clock.restart()
        self.datamodule.prepare_data()
        self.clock.end("prepare")

    @override
    def after_fit(self) -> None:
        self.clock.end("train")

    @override
    def before_test(self) -> None:
        self.clock.restart()

    @override
    def after_test(self) -> None:
        self.clock.end("test")


def words(options: Any) -> list[str]:
    """Arguments of both commands."""
    found = ["--config", options.config, "--data.source", "crystal_data.FolderSource"]
    for split in worker.SPLITS:
        found += [f"--data.source.{split}", str(options.rows / split)]
    settings = {
        "data.source.targets": f"[{TARGET}]",
        "data.cache": options.out / "stores",
        "data.batch_size": options.batch_size,
        "data.seed": options.seed,
        "seed_everything": options.seed,
        "trainer.max_epochs": options.epochs,
        "trainer.accelerator": "cpu",
        "trainer.default_root_dir": options.out / "run",
    }
    return found + [f"--{name}={value}" for name, value in settings.items()]


def main() -> None:
    options = worker.arguments(__doc__, "--config")
    fitted = Timed(["fit", *words(options), "--overwrite=true"])
    Timed(["test", *words(options)])

    table = options.out / "run" / "predictions" / "test.csv"
    with table.open(newline="", encoding="utf-8") as file:
        predictions = {row["id"]: float(row[TARGET]) for row in csv.DictReader(file)}
    parameters = sum(value.numel() for value in fitted.model.parameters())
    packages = ("crystal-embed", "crystal-data", "torch")
    worker.write_answer(options.out, Timed.clock, predictions, packages, parameters)


if __name__ == "__main__":
    main()
