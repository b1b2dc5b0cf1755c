"""The LightningModule of adversarial training: a generator of repairs and a discriminator."""

from collections.abc import Sequence

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import global_mean
from crystal_data.training import NamedMeans, OptimizerPlan, Sums
from crystal_data.transforms import PerturbAtoms, SampleRandom, Transform
from crystal_gan.models.equiformer import Equiformer
from crystal_gan.models.repair import Repair, RepairModel
from crystal_gan.training.fakes import original, repaired
from crystal_gan.training.module import RepairModule

_REAL_NOISE = 0.001  # of the shortest distance, as published
_FAKE, _REAL = 0, 1


class AdversarialModule(RepairModule):
    """Trains a generator, which repairs crystals, against a discriminator of two classes.

    The generator's loss is that of ``RepairModule`` plus ``adversarial_weight`` times the distance
    of the discriminator's answer from "real". The discriminator learns to answer "real" for
    crystals, to which a small noise is added, and "fake" for repairs. The distance of an answer is
    the sum of the absolute differences of both probabilities. Unlike in the published code,
    elements and positions of repairs reach the discriminator with their gradients.

    Logs what ``RepairModule`` does, ``val/loss`` without the adversarial term, and
    ``adversarial_loss`` and ``discriminator_accuracy``. The artifact holds the generator.

    Args:
        model: The generator; give a pre-trained one with ``--init_from``.
        discriminator: Has two outputs.
        corruptions: As ``RepairModule``.
        displacement_weight: As ``RepairModule``.
        strain_weight: As ``RepairModule``.
        adversarial_weight: Factor of the adversarial term.
        discriminator_every: Steps of the generator for each of the discriminator.
        optimizer: Of the generator.
        discriminator_optimizer: Of the discriminator.
        lr_scheduler: Of the generator.
        seed: Of the noise on crystals.

    Raises:
        InvalidArgumentError: As ``RepairModule``, and if the generator is self-conditioned.

    Source:
        Public code of the published model: losses, rates and intervals.
    """

    def __init__(
        self,
        model: RepairModel,
        discriminator: Equiformer,
        corruptions: Sequence[Transform],
        *,
        displacement_weight: float = 1.0,
        strain_weight: float = 1.0,
        adversarial_weight: float = 0.1,
        discriminator_every: int = 10,
        optimizer: OptimizerCallable = torch.optim.Adam,
        discriminator_optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            model,
            corruptions,
            displacement_weight=displacement_weight,
            strain_weight=strain_weight,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            seed=seed,
        )
        if model.condition is not None:
            raise InvalidArgumentError(
                "a self-conditioned generator is told what it has to make",
                "leave out self_conditioned",
            )
        self.automatic_optimization = False
        self.discriminator = discriminator
        self._adversarial_weight = adversarial_weight
        self._discriminator_every = discriminator_every
        self._discriminator_optimizer = discriminator_optimizer
        self._real_noise = PerturbAtoms(_REAL_NOISE)

    @override
    def optimizer_plans(self) -> Sequence[OptimizerPlan]:
        generator = self._optimizer([p for p in self.model.parameters() if p.requires_grad])
        discriminator = self._discriminator_optimizer(list(self.discriminator.parameters()))
        return [
            OptimizerPlan(generator, self._lr_scheduler),
            OptimizerPlan(discriminator, every=self._discriminator_every),
        ]

    @override
    def new_metric(self) -> NamedMeans:
        return NamedMeans([*self.measured, "adversarial_loss", "discriminator_accuracy"])

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        repair = self(batch)
        sums = dict(self.sums_of(repair, batch))
        adversarial = _distance(self.answers(batch, repair), _REAL, batch)
        sums["adversarial_loss"] = adversarial
        loss = self.repair_loss(sums) + self._adversarial_weight * global_mean(*adversarial)
        self.step_optimizer(0, loss)
        # The offset moves with the epochs, as published, so that it sees all batches.
        if (batch_idx + self.current_epoch) % self._discriminator_every == 0:
            loss, sums["discriminator_accuracy"] = self._discrimination(batch, repair)
            self.step_optimizer(1, loss)
        self.train_metric.update(sums)

    @override
    def validation_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.val_metric.update(self._evaluated(batch))

    @override
    def test_step(self, batch: CrystalBatch, batch_idx: int) -> None:
        self.test_metric.update(self._evaluated(batch))

    def answers(self, batch: CrystalBatch, repair: Repair) -> Tensor:
        """Probabilities of "fake" and "real" for repairs; shape ``[num_crystals, 2]``."""
        crystals, species = repaired(batch, repair)
        return self._judged(crystals, species)

    def _judged(self, crystals: CrystalBatch, species: Tensor | None = None) -> Tensor:
        crystals = crystals.with_edges(self.discriminator.graph_spec)
        answers: Tensor = self.discriminator(crystals, species).softmax(1)
        return answers

    def _evaluated(self, batch: CrystalBatch) -> Sums:
        repair = self(batch)
        adversarial = _distance(self.answers(batch, repair), _REAL, batch)
        _, accuracy = self._discrimination(batch, repair)
        both = {"adversarial_loss": adversarial, "discriminator_accuracy": accuracy}
        return {**self.sums_of(repair, batch), **both}

    def _discrimination(
        self, batch: CrystalBatch, repair: Repair
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The discriminator's loss, and the total and count of its right answers."""
        strain = None if repair.strain is None else repair.strain.detach()
        detached = Repair(repair.logits.detach(), repair.displacement.detach(), strain)
        fake = self.answers(batch, detached)
        rng = SampleRandom(self._seed, self.current_epoch, batch.sample_id)
        crystals = self._real_noise(original(batch), rng)
        real = self._judged(crystals)
        losses = _distance(real, _REAL, batch), _distance(fake, _FAKE, batch)
        loss = torch.stack([global_mean(*one) for one in losses]).sum()
        right = (real.argmax(1) == _REAL).sum() + (fake.argmax(1) == _FAKE).sum()
        share = 0.0 if batch.is_filler else 1.0
        return loss, (share * right, right.new_tensor(share * 2 * batch.num_crystals))


def _distance(answers: Tensor, wanted: int, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
    """Total over crystals of ``Σ |probability - wanted|``, and their count."""
    distance = 2.0 * (1.0 - answers[:, wanted])
    # A padding batch repeats crystals of another process and carries no loss.
    share = 0.0 if batch.is_filler else 1.0
    return share * distance.sum(), distance.new_tensor(share * len(distance))
