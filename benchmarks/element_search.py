"""Where a pre-trained element table pays: gains against labels, at convergence, with equal effort.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/element_search.py UNLABELLED LABELLED --work FOLDER

UNLABELLED and LABELLED are runs of a periodic transformer: after it has learned to repair crystals
of six sets, and after it has then learned all labels of MP-20 and MPTS-52 (the configs
``pretrain-crystal-transformer`` and ``crystal-transformer-universal``). Their element tables stand
in front of CGCNN and MEGNet, once of ALIGNN, which learn from a few labels; beside them whole
networks are fine-tuned: the transformer, and the Equiformer that has learned to repair crystals of
MP-20. Of MP-20 the labelled table has seen the labels of training crystals; of the oxides, whose
labels are of another release, and of JARVIS's shear moduli it has seen none.

A seed has its own rows, first weights, order of rows, random table and permutation. Tables that are
not trained are scaled, ``atom_init`` too, which gains by it. Each arm has the same grid of learning
rates, of which the smallest validation error of the first seed chooses one for each number of
labels. Weights are averaged, the epoch with the smallest validation error counts, and a run whose
error still falls by more than 1 % over the last tenth of its epochs is counted as not converged.
Gains are paired over test crystals, with intervals over seeds and crystals. A finished run stays in
the work folder and is not repeated.
"""

import argparse
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from element_arms import (
    ARMS,
    BESIDE,
    EQUIFORMERS,
    RATES,
    TABLE_RATE,
    TRANSFORMERS,
    WHOLE,
    made,
    rates_of,
)
from element_tasks import TASKS, Rows, Task, label_coefficients
from measuring import RESULTS, mean_over_seeds, write
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_data import CrystalBatch
from crystal_data.metrics import seed_gain_interval
from crystal_data.store import EdgeColumn
from crystal_data.training import OneCycle
from crystal_embed import save_table

#: Epochs and crystals of a batch for each number of labels.
EFFORT = {100: (200, 32), 300: (150, 32), 1000: (100, 64), 3000: (60, 128)}
MAIN = ("labelled", "permuted")
OTHERS = (*MAIN, "unlabelled", *BESIDE)
ENERGIES, GAPS, OXIDE_ENERGIES, OXIDE_GAPS, MODULI = TASKS
MP20, OXIDES = (ENERGIES, GAPS), (OXIDE_ENERGIES, OXIDE_GAPS)
#: What is compared with ``atom_init``: back-end, labels, tasks and arms.
GRID: tuple[tuple[str, int, tuple[str, ...], tuple[str, ...]], ...] = (
    ("CGCNN", 100, (ENERGIES,), (*MAIN, *WHOLE)),
    ("CGCNN", 100, (GAPS,), MAIN),
    ("CGCNN", 300, MP20, tuple(arm for arm in ARMS if arm != "atom_init")),
    ("CGCNN", 300, (OXIDE_ENERGIES,), (*OTHERS, "scratch transformer", "labelled transformer")),
    ("CGCNN", 300, (OXIDE_GAPS, MODULI), OTHERS),
    ("CGCNN", 1000, MP20, (*MAIN, "unlabelled")),
    ("CGCNN", 1000, OXIDES, MAIN),
    ("CGCNN", 3000, MP20, ("labelled",)),
    ("MEGNet", 300, (ENERGIES, OXIDE_ENERGIES), MAIN),
    ("MEGNet", 300, (GAPS,), ("labelled",)),
    ("MEGNet", 1000, MP20, ("labelled",)),
    ("ALIGNN", 1000, (ENERGIES,), ("labelled",)),
)
SEEDS, MORE_SEEDS = 3, 5  # more where a README claims something
CLAIMED = ("atom_init", "labelled", *EQUIFORMERS, *TRANSFORMERS[:2])
CHECKS = 20  # times that a run is validated
DECAY = 0.995
NOT_FLAT = 0.01


@dataclass(frozen=True)
class Run:
    """One training."""

    back_end: str
    task: str
    labels: int
    arm: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        parts = (self.back_end, self.task, self.labels, self.arm, self.rate, self.seed)
        return "_".join(str(part).replace(" ", "-").replace(",", "") for part in parts)


class Search:
    """Trains what is asked for, once."""

    def __init__(self, unlabelled: Path, labelled: Path, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        coefficients = work / "coefficients.safetensors"
        if not coefficients.exists():
            save_table(label_coefficients(), coefficients)
        self.tables = {
            "unlabelled": unlabelled,
            "labelled": labelled,
            "coefficients": coefficients,
        }
        self.tasks: dict[str, Task] = {}

    def result(self, run: Run) -> dict[str, Any]:
        """Validation errors of a run, and its test errors as ``errors``."""
        path = self.work / f"{run.name}.npz"
        if not path.exists():
            if run.task not in self.tasks:
                self.tasks[run.task] = TASKS[run.task]()
            history, errors = self._trained(run, self.tasks[run.task])
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

    def chosen(self, back_end: str, task: str, labels: int, arm: str) -> float:
        """The learning rate with the smallest validation error of the first seed."""
        rates = rates_of(back_end, arm)
        runs = [Run(back_end, task, labels, arm, rate, 0) for rate in rates]
        return min(runs, key=lambda run: self.result(run)["val"]).rate

    def _trained(self, run: Run, task: Task) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        torch.manual_seed(run.seed)
        model = made(run.back_end, run.arm, run.seed, self.tables).train()
        spec, store = model.graph_spec, task.store
        store.add_column(EdgeColumn(spec))
        rng = np.random.default_rng(run.seed)
        rows = rng.permutation(task.train)[: run.labels]
        labels = np.array(store.targets([task.target], rows)[task.target])
        mean, deviation = float(labels.mean()), float(labels.std())

        def cut(some: Rows) -> tuple[CrystalBatch, Tensor]:
            batch = store.batch(some, [task.target], spec).float32()
            return batch, batch.targets[task.target][:, None]

        @torch.inference_mode()
        def errors(network: nn.Module, some: Sequence[Rows]) -> NDArray[np.float64]:
            network.eval()
            pairs = [cut(part) for part in some]
            found = [(network(b) * deviation + mean - y).abs()[:, 0] for b, y in pairs]
            network.train()
            return torch.cat(found).double().numpy()

        epochs, size = EFFORT[run.labels]
        steps = epochs * -(-run.labels // size)
        optimizer = torch.optim.AdamW(_groups(model, run), weight_decay=0.01)
        highest = [group["lr"] for group in optimizer.param_groups]
        cycle = OneCycle(optimizer)
        averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=_average, use_buffers=True)
        history: list[float] = []
        best: nn.Module = averaged
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
                for group, rate in zip(optimizer.param_groups, highest, strict=True):
                    group["lr"] = rate * cycle.factor(step / steps)
                averaged.update_parameters(model)
            if epoch in checks:
                history.append(errors(averaged, np.array_split(task.val, 4)).mean())
                if history[-1] == min(history):
                    best = deepcopy(averaged)
        return np.array(history), errors(best, np.array_split(task.test, 14))


def _groups(model: nn.Module, run: Run) -> list[dict[str, Any]]:
    """The table has a rate of its own."""
    of_table = {"atom_embedding.vectors"} if run.arm in TABLE_RATE else set()
    named = list(model.named_parameters())
    groups = [{"params": [value for name, value in named if name not in of_table], "lr": run.rate}]
    if of_table:
        rate = run.rate * TABLE_RATE[run.arm]
        groups.append({"params": [model.get_parameter(name) for name in of_table], "lr": rate})
    return groups


def _average(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    decay = min(DECAY, (1.0 + float(count)) / (10.0 + float(count)))
    return average.lerp(current, 1.0 - decay) if average.is_floating_point() else current


def cells() -> Iterator[tuple[str, int, str, tuple[str, ...]]]:
    """Back-end, labels, task and arms of each part of the table, ``atom_init`` first."""
    for back_end, labels, tasks, arms in GRID:
        for task in tasks:
            yield back_end, labels, task, ("atom_init", *arms)


def num_seeds(back_end: str, labels: int, task: str, arm: str) -> int:
    """How many seeds an arm has."""
    is_claimed = arm in CLAIMED and task in MP20 and labels < 3000 and back_end != "ALIGNN"
    return MORE_SEEDS if is_claimed else SEEDS


def rows(search: Search) -> Iterator[dict[str, Any]]:
    """A row for each arm; gains are over ``atom_init`` and, of whole networks, over scratch."""
    for back_end, labels, task, arms in cells():
        all_errors: dict[str, NDArray[np.float64]] = {}
        for arm in arms:
            rate = search.chosen(back_end, task, labels, arm)
            seeds = range(num_seeds(back_end, labels, task, arm))
            found = [search.result(Run(back_end, task, labels, arm, rate, seed)) for seed in seeds]
            all_errors[arm] = np.stack([one["errors"] for one in found])
            scratch = f"scratch {arm.split()[-1]}" if arm in WHOLE else arm
            yield {
                "back_end": back_end,
                "task": task,
                "labels": labels,
                "arm": arm,
                "rate": rate,
                "converged": [one["flat"] for one in found],
                "by_seed": all_errors[arm].mean(axis=1).tolist(),
                "mae": mean_over_seeds(all_errors[arm]),
                "gain": _gain(all_errors, "atom_init", arm),
                "gain over scratch": _gain(all_errors, scratch, arm),
            }


def _gain(
    errors: dict[str, NDArray[np.float64]], baseline: str, arm: str
) -> dict[str, float] | None:
    """How much less error an arm has than another, by the seeds that both have."""
    if arm == baseline:
        return None
    count = min(len(errors[arm]), len(errors[baseline]))
    return asdict(seed_gain_interval(errors[baseline][:count], errors[arm][:count]))


def main() -> None:
    """Runs what has not been run, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("unlabelled", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = []
    for row in rows(Search(args.unlabelled, args.labelled, args.work)):
        table.append(row)
        print({name: row[name] for name in ("back_end", "task", "labels", "arm", "mae", "gain")})
    effort = {str(k): {"epochs": v[0], "batch": v[1]} for k, v in EFFORT.items()}
    content = {"effort": effort, "rates": RATES, "rows": table}
    write(RESULTS / "element-search.json", content)


if __name__ == "__main__":
    main()
