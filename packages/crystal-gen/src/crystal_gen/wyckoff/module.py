"""The LightningModule that trains the models of symmetry."""

from collections.abc import Mapping

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.processes import global_mean
from crystal_data.store import OrbitColumn
from crystal_data.training import CrystalModule, Measured, NamedMeans, Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.wyckoff.batch import WyckoffBatch, WyckoffCollator, assignments_in
from crystal_gen.wyckoff.measures import EXACT_AT, GROUP_AT, exact_at, groups_at
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.symmetry_model import PARTS, SymmetryModel


class WyckoffModule(CrystalModule):
    """Trains a model to answer compositions with space groups and Wyckoff positions.

    Logs ``<stage>/loss``, the negative logarithm of the probability of the true answer, and its
    parts ``z``, ``group`` and ``positions``; the share of crystals whose space group is among the
    first answers for their composition and z, ``group_at_1``, ``_5`` and ``_20``. Tests also log
    the share whose whole assignment is among the first, ``exact_at_1``, ``_20`` and ``_100``, and
    ``legal_when_free``: the share of answers that are legal though the model is not held to it.
    ``val/loss`` chooses the best checkpoint.

    Args:
        model: What is trained.
        symprec: How far an atom of the data may be from where symmetry sends it, Å.
        uses_wishes: Validation and tests tell the model the properties of the crystals.
        seed: Of all random draws.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer. ``OneCycle`` and ``WarmupCosine`` of
            ``crystal_data.training`` learn the number of steps from the Trainer.
    """

    def __init__(
        self,
        model: SymmetryModel,
        *,
        symprec: float = 0.1,
        uses_wishes: bool = False,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(model, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.symmetry_model = model
        self._collator = WyckoffCollator(OrbitColumn(symprec))
        self._uses_wishes = uses_wishes
        self._seed = seed

    @property
    @override
    def targets(self) -> tuple[str, ...]:
        return self.symmetry_model.properties

    @property
    @override
    def needs_labels(self) -> bool:
        return False

    @property
    @override
    def collator(self) -> WyckoffCollator:
        return self._collator

    @override
    def take_fields(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:
        self.symmetry_model.take_units(fields, is_fit=is_fit)

    @override
    def new_metric(self) -> NamedMeans:
        groups = [f"group_at_{limit}" for limit in GROUP_AT]
        exact = [f"exact_at_{limit}" for limit in EXACT_AT]
        return NamedMeans((*PARTS, *groups, *exact, "legal_when_free"))

    @override
    def epoch_metrics(self, measured: dict[str, Measured]) -> dict[str, Measured]:
        loss = sum((measured[name].value for name in PARTS), torch.zeros(()))
        return measured | {"loss": Measured(loss)}

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.symmetry_model.load_base()
        if stage != "fit":
            return
        data = self.datamodule
        if data is None:
            raise InvalidArgumentError(
                "properties are normalized by the training split, which loaders do not name",
                "give fit() a CrystalDataModule",
            )
        self.symmetry_model.fit_scales(data.train_batch())

    @override
    def training_step(self, batch: WyckoffBatch, batch_idx: int) -> Tensor:
        random = SampleRandom(self._seed, self.current_epoch, batch.sample_id)
        sums = self._share(batch, self.symmetry_model.losses(batch, random))
        self.train_metric.update(sums)
        return torch.stack([global_mean(*sums[name]) for name in PARTS]).sum()

    @override
    def validation_step(self, batch: WyckoffBatch, batch_idx: int) -> None:
        self.val_metric.update(self._share(batch, self._sums(batch)))

    @override
    def test_step(self, batch: WyckoffBatch, batch_idx: int) -> None:
        asked = self._asked(batch)
        self.test_metric.update(self._share(batch, self._sums(asked)))
        if batch.is_filler:
            return
        model, truths = self.symmetry_model, assignments_in(batch)
        questions = [
            SymmetryQuestion.from_batch(asked, row, model.properties)
            for row in range(batch.num_crystals)
        ]
        answers = model.best_answers(questions, max(EXACT_AT))
        ranked = [[each.assignment for each in found] for found in answers]
        walked = model.free_walks(questions, seeds=batch.sample_id.tolist())
        sums = exact_at(ranked, truths) | {"legal_when_free": (sum(walked), len(walked))}
        self.test_metric.update(
            {
                name: (self._number(total), self._number(count))
                for name, (total, count) in sums.items()
            }
        )

    def _sums(self, batch: WyckoffBatch) -> Sums:
        asked = self._asked(batch)
        random = SampleRandom(self._seed, 0, batch.sample_id)
        return {
            **self.symmetry_model.losses(asked, random),
            **groups_at(self.symmetry_model.group_logs(asked), batch.space_group_number),
        }

    def _asked(self, batch: WyckoffBatch) -> WyckoffBatch:
        return batch if self._uses_wishes else batch.without_targets()

    def _share(self, batch: WyckoffBatch, sums: Sums) -> Sums:
        # A padding batch repeats crystals of another process and carries no loss.
        share = 0.0 if batch.is_filler else 1.0
        return {name: (share * total, share * count) for name, (total, count) in sums.items()}

    def _number(self, value: float) -> Tensor:
        return torch.tensor(float(value), device=self.device)
