"""MEGNet of the package ``matgl``, for ``run.py``; runs where that package is.

    PYTHON benchmarks/peers/matgl_worker.py ROWS OUT --epochs 30 --batch-size 64 --seed 0

Data sets, loaders, model and LightningModule are the package's, with its defaults, put together as
its tutorial on formation energies does: neighbors within 4 Å, ``xavier_init``, squared error, Adam
at 0.001 whose cosine of 1,000 epochs is at its start all along. The tutorial keeps the weights of
the last epoch; here Lightning's ``ModelCheckpoint`` keeps those with the lowest MAE on the
validation rows, as the other packages do. Predictions are made in a plain loop, since the
``predict_step`` of the package returns losses.
"""

import warnings
from pathlib import Path

import torch
import worker

warnings.filterwarnings("ignore")  # of Lightning and PyG, about loaders and newer versions

import lightning  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from matgl.ext.pymatgen import Structure2Graph, get_element_list  # noqa: E402
from matgl.graph.data import MGLDataLoader, MGLDataset  # noqa: E402
from matgl.models import MEGNet  # noqa: E402
from matgl.utils.training import ModelLightningModule, xavier_init  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def loaders(
    rows: dict[str, list[tuple[str, Path, float]]], batch_size: int, root: Path
) -> tuple[tuple[DataLoader, ...], tuple[str, ...]]:
    """Loaders of training, validation and test, and the elements of all rows."""
    structures = {
        split: [Structure.from_file(path) for _, path, _ in entries]
        for split, entries in rows.items()
    }
    elements = get_element_list([one for part in structures.values() for one in part])
    converter = Structure2Graph(element_types=elements, cutoff=4.0)
    train, val, test = (
        MGLDataset(
            structures=structures[split],
            labels={"energy": [value for _, _, value in rows[split]]},
            converter=converter,
            root=str(root / split),
            save_cache=False,
        )
        for split in worker.SPLITS
    )
    made = MGLDataLoader(
        train_data=train, val_data=val, test_data=test, batch_size=batch_size, num_workers=0
    )
    return made, elements


@torch.no_grad()
def predict(module: ModelLightningModule, loader: DataLoader) -> list[float]:
    module.eval()
    values = [
        module(g=graph, lat=lattice, state_attr=state).reshape(-1)
        for graph, lattice, state, _ in loader
    ]
    return torch.cat(values).tolist()


def main() -> None:
    options = worker.arguments(__doc__)
    rows = {split: worker.rows_of(options.rows / split) for split in worker.SPLITS}
    lightning.seed_everything(options.seed)

    clock = worker.Clock()
    (train, val, test), elements = loaders(rows, options.batch_size, options.out)
    clock.end("prepare")

    model = MEGNet(element_types=elements)
    xavier_init(model)
    module = ModelLightningModule(model=model)
    best = ModelCheckpoint(options.out, monitor="val_MAE", mode="min")
    trainer = lightning.Trainer(
        max_epochs=options.epochs,
        accelerator="cpu",
        callbacks=[best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train, val)
    clock.end("train")

    module.load_state_dict(torch.load(best.best_model_path)["state_dict"])
    names = [name for name, _, _ in rows["test"]]
    predictions = dict(zip(names, predict(module, test), strict=True))
    clock.end("test")
    parameters = sum(value.numel() for value in model.parameters())
    packages = ("matgl", "torch", "torch_geometric", "lightning")
    worker.write_answer(options.out, clock, predictions, packages, parameters)


if __name__ == "__main__":
    main()
