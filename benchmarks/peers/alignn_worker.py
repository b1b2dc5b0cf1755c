"""ALIGNN of the package ``alignn``, for ``run.py``; runs where that package is.

    PYTHON benchmarks/peers/alignn_worker.py ROWS OUT --epochs 20 --batch-size 64 --seed 0

Loaders and training are the package's (``get_train_val_loaders``, ``train_dgl``), with the model
and the graphs that its README recommends, since they need no DGL: ``alignn_atomwise_pure`` without
forces, width 64 and 2 + 2 layers, which are its defaults, and twelve neighbors within 8 Å, of which
those within 3.5 Å make angles. Learning rate and weight decay are those of its example for
properties; absolute error, AdamW and one cycle are fixed or default there. ``train_dgl`` predicts
with the weights of the last epoch; here the test rows are predicted with ``best_model.pt``, which
it saves where the error on the validation rows is lowest. Its loaders leave out the last batch of
training and validation where it is not full. The function that prints an epoch is wrapped to read
the clock.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import worker
from alignn import train
from alignn.config import TrainingConfig
from alignn.data import get_train_val_loaders
from alignn.models.alignn_atomwise_pure import ALIGNNAtomWisePure
from jarvis.core.atoms import Atoms
from torch.utils.data import DataLoader


def configured(sizes: dict[str, int], options: Any) -> TrainingConfig:
    """The package's settings of a training."""
    return TrainingConfig(
        dataset="user_data",
        target="target",
        neighbor_strategy="pure_torch",
        cutoff=8.0,
        learning_rate=0.001,
        weight_decay=1e-5,
        epochs=options.epochs,
        batch_size=options.batch_size,
        random_seed=options.seed,
        num_workers=0,
        output_dir=str(options.out),
        write_predictions=False,
        use_lmdb=False,  # or train_dgl closes the graphs, which are needed once more
        n_train=sizes["train"],
        n_val=sizes["val"],
        n_test=sizes["test"],
        model={
            "name": "alignn_atomwise_pure",
            "atom_input_features": 92,
            "calculate_gradient": False,
            "gradwise_weight": 0.0,
        },
    )


def loaders(entries: list[tuple[str, Path, float]], config: TrainingConfig) -> list[Any]:
    """Of training, validation and test, whose rows follow each other in ``entries``."""
    # By default jarvis starts a shell for each file, to call a program that need not be there.
    plain = {"use_cif2cell": False, "get_primitive_atoms": False}
    records = [
        {"jid": name, "target": value, "atoms": Atoms.from_cif(str(path), **plain).to_dict()}
        for name, path, value in entries
    ]
    return list(
        get_train_val_loaders(
            dataset="user_data",
            dataset_array=records,
            target=config.target,
            n_train=config.n_train,
            n_val=config.n_val,
            n_test=config.n_test,
            batch_size=config.batch_size,
            neighbor_strategy=config.neighbor_strategy,
            cutoff=config.cutoff,
            max_neighbors=config.max_neighbors,
            three_body_cutoff=config.three_body_cutoff,
            workers=config.num_workers,
            pin_memory=config.pin_memory,
            keep_data_order=config.keep_data_order,
            output_dir=config.output_dir,
            use_pure_torch=True,
        )
    )


@torch.no_grad()
def predict(model: ALIGNNAtomWisePure, loader: DataLoader) -> dict[str, float]:
    """Of each id; the loader has one crystal in each batch."""
    model.eval()
    values = (model([graph, lines, lattice])["out"].item() for graph, lines, lattice, _ in loader)
    return dict(zip(loader.dataset.ids, values, strict=True))


def main() -> None:
    options = worker.arguments(__doc__)
    rows = {split: worker.rows_of(options.rows / split) for split in worker.SPLITS}
    os.chdir(options.out)  # where the package writes its graphs
    config = configured({split: len(entries) for split, entries in rows.items()}, options)

    import_module("torch._dynamo")  # which the first optimizer would do during the training
    clock = worker.Clock()
    made = loaders([entry for entries in rows.values() for entry in entries], config)
    clock.end("prepare")

    printed = train.print_train_val_loss

    def epoch_ended(*values: Any, **names: Any) -> None:
        printed(*values, **names)
        clock.end("train")

    train.print_train_val_loss = epoch_ended
    train.train_dgl(config, train_val_test_loaders=made)
    clock.restart()

    model = ALIGNNAtomWisePure(config.model)
    model.load_state_dict(torch.load(options.out / "best_model.pt"))
    predictions = predict(model, made[2])
    clock.end("test")
    parameters = sum(value.numel() for value in model.parameters())
    packages = ("alignn", "torch", "jarvis-tools")
    worker.write_answer(options.out, clock, predictions, packages, parameters)


if __name__ == "__main__":
    main()
