"""Where a pre-trained element table pays: gains against labels, at convergence, with equal effort.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/element_search.py TRANSFORMER --work FOLDER
        [--back-ends CGCNN MEGNet] [--arms …] [--targets …] [--labels …] [--seeds N]

TRANSFORMER is the run of a periodic transformer that has learned to repair all crystals at hand and
then all labels of MP-20, MPTS-52, oxides and JARVIS, a head for each (``docs``: benchmarks'
README). Its element table stands in front of CGCNN and MEGNet, which learn formation energies and
band gaps of MP-20 from a few labels; beside it the same transformer is fine-tuned whole. A seed has
its own rows, first weights, order of rows, random table and permutation. Each arm has the same grid
of learning rates, of which the smallest validation error of the first seed chooses one for each
number of labels; epochs are the same for all arms. Weights are averaged, the epoch with the
smallest validation error counts, and a run whose error still falls by more than 1 % over the last
tenth of its epochs is counted as not converged. Gains are paired over test crystals, with intervals
over seeds and crystals. A finished run stays in the work folder and is not repeated.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, mean_over_seeds, write
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_data import CrystalBatch, open_store
from crystal_data.metrics import seed_gain_interval
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore, EdgeColumn
from crystal_data.training import OneCycle
from crystal_embed import CGCNN, CrystalTransformer, MEGNet

#: Table in front of a graph network, and whether its vectors are trained.
ARMS: dict[str, tuple[str, bool]] = {
    "atom_init": ("atom_init", False),
    "one-hot": ("one_hot", False),
    "random": ("random:64:{seed}", True),
    "pre-trained": ("{table}", True),
    "pre-trained, frozen": ("{table}", False),
    "beside atom_init": ("joined:atom_init,{table}", False),
    "permuted beside atom_init": ("joined:atom_init,permuted:{seed}:{table}", False),
}
WHOLE = "whole transformer"
BACK_ENDS = {"CGCNN": CGCNN, "MEGNet": MEGNet}
RATES = {"CGCNN": (0.005, 0.015), "MEGNet": (0.001, 0.003), WHOLE: (0.0003, 0.001)}
TARGETS = ("formation_energy_per_atom", "band_gap")
#: Epochs and crystals of a batch for each number of labels.
EFFORT = {100: (200, 32), 300: (150, 32), 1000: (100, 64), 3000: (60, 128)}
CHECKS = 20  # times that a run is validated
DECAY = 0.995
NOT_FLAT = 0.01
NUM_VAL = 500
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One training."""

    back_end: str
    target: str
    labels: int
    arm: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        parts = (self.back_end, self.target, self.labels, self.arm, self.rate, self.seed)
        return "_".join(str(part).replace(" ", "-").replace(",", "") for part in parts)


class Search:
    """Trains what is asked for, once."""

    def __init__(self, transformer: Path, work: Path) -> None:
        self.transformer, self.work = transformer, work
        self.store: CrystalStore = open_store(MP20())
        self.val = np.random.default_rng(0).permutation(self.store.rows_of("val"))[:NUM_VAL]
        self.test = self.store.rows_of("test")
        work.mkdir(parents=True, exist_ok=True)

    def result(self, run: Run) -> dict[str, Any]:
        """Validation errors of a run, and its test errors as ``errors``."""
        path = self.work / f"{run.name}.npz"
        if not path.exists():
            history, errors = self._trained(run)
            temporary = path.with_suffix(".part.npz")
            np.savez(temporary, history=history, errors=errors)
            temporary.rename(path)
            print(run.name, f"val {min(history):.4f} test {errors.mean():.4f}", flush=True)
        with np.load(path) as found:
            history, errors = found["history"], found["errors"]
        before = history[: -(CHECKS // 10)].min()
        return {
            "val": float(history.min()),
            "flat": bool(history.min() > (1 - NOT_FLAT) * before),
            "errors": errors,
        }

    def chosen(self, back_end: str, target: str, labels: int, arm: str) -> float:
        """The learning rate with the smallest validation error of the first seed."""
        rates = RATES[WHOLE if arm == WHOLE else back_end]
        runs = [Run(back_end, target, labels, arm, rate, 0) for rate in rates]
        return min(runs, key=lambda run: self.result(run)["val"]).rate

    def _model(self, run: Run) -> nn.Module:
        torch.manual_seed(run.seed)
        if run.arm == WHOLE:
            model = CrystalTransformer.from_pretrained(self.transformer / "artifact")
            model.set_num_outputs(1)
            return model
        table, trainable = ARMS[run.arm]
        return BACK_ENDS[run.back_end](
            element_table=table.format(seed=run.seed, table=self.transformer),
            trainable_table=trainable,
            missing_elements="random",
        )

    def _trained(self, run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        model = self._model(run).train()
        spec = model.graph_spec
        self.store.add_column(EdgeColumn(spec))
        rng = np.random.default_rng(run.seed)
        rows = rng.permutation(self.store.rows_of("train"))[: run.labels]
        labels = self.store.targets([run.target], rows)[run.target]
        mean, deviation = float(labels.mean()), float(labels.std())

        def cut(some: Rows) -> tuple[CrystalBatch, Tensor]:
            batch = self.store.batch(some, [run.target], spec).float32()
            return batch, batch.targets[run.target][:, None]

        @torch.inference_mode()
        def errors(network: nn.Module, some: Sequence[Rows]) -> NDArray[np.float64]:
            network.eval()
            pairs = [cut(part) for part in some]
            found = [(network(b) * deviation + mean - y).abs()[:, 0] for b, y in pairs]
            network.train()
            return torch.cat(found).double().numpy()

        epochs, size = EFFORT[run.labels]
        steps = epochs * -(-run.labels // size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=0.01)
        cycle = OneCycle(optimizer)
        averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=_average, use_buffers=True)
        history: list[float] = []
        best: NDArray[np.float64] | None = None
        step, checks = 0, set(np.linspace(0, epochs, CHECKS + 1)[1:].round().astype(int).tolist())
        for epoch in range(1, epochs + 1):
            order = rng.permutation(rows)
            for part in np.array_split(order, -(-run.labels // size)):
                batch, label = cut(part)
                loss = (model(batch) - (label - mean) / deviation).abs().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = run.rate * cycle.factor(step / steps)
                averaged.update_parameters(model)
            if epoch in checks:
                history.append(errors(averaged, np.array_split(self.val, 4)).mean())
                if history[-1] == min(history):
                    best = errors(averaged, np.array_split(self.test, 14))
        assert best is not None
        return np.array(history), best


def _average(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    decay = min(DECAY, (1.0 + float(count)) / (10.0 + float(count)))
    return average.lerp(current, 1.0 - decay) if average.is_floating_point() else current


def table(search: Search, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each arm, target, number of labels and back-end."""
    for back_end, target, labels in product(args.back_ends, args.targets, args.labels):
        baseline: NDArray[np.float64] | None = None
        for arm in args.arms:
            rate = search.chosen(back_end, target, labels, arm)
            runs = [Run(back_end, target, labels, arm, rate, seed) for seed in range(args.seeds)]
            found = [search.result(run) for run in runs]
            errors = np.stack([one["errors"] for one in found])
            baseline = errors if baseline is None else baseline
            yield {
                "back_end": back_end,
                "target": target,
                "labels": labels,
                "arm": arm,
                "rate": rate,
                "converged": [one["flat"] for one in found],
                "by_seed": errors.mean(axis=1).tolist(),
                "mae": mean_over_seeds(errors),
                "gain": None
                if errors is baseline
                else asdict(seed_gain_interval(baseline, errors)),
            }


def main() -> None:
    """Runs what has not been run, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("transformer", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--back-ends", nargs="+", choices=BACK_ENDS, default=["CGCNN"])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--labels", nargs="+", type=int, choices=EFFORT, default=list(EFFORT))
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, WHOLE], default=[*ARMS, WHOLE])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="element-search.json", help="name in benchmarks/results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for row in table(Search(args.transformer, args.work), args):
        rows.append(row)
        print(
            json.dumps({k: row[k] for k in ("back_end", "target", "labels", "arm", "mae", "gain")})
        )
    effort = {str(k): {"epochs": v[0], "batch": v[1]} for k, v in EFFORT.items()}
    write(RESULTS / args.out, {"effort": effort, "rates": RATES, "rows": rows})


if __name__ == "__main__":
    main()
