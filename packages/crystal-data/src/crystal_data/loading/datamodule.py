"""The data module of all packages: from a source to the batches that a model asks for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError, OnInvalid
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.record import SPLIT_NAMES, SplitName
from crystal_data.lightning_internals import is_trial, uses_distributed_sampler
from crystal_data.loading.collate import refuse_rejected, rejected_by
from crystal_data.loading.data_tables import write_data_tables
from crystal_data.loading.dataset import CrystalDataset
from crystal_data.loading.domain import training_domain, unsupported
from crystal_data.loading.groups import RowGroups
from crystal_data.loading.needs import BatchNeeds, NeedsBatches
from crystal_data.loading.packing import Bound
from crystal_data.loading.sampler import BatchRequest, CrystalSampler
from crystal_data.processes.progress import say
from crystal_data.run_folder import RunFolder
from crystal_data.sources.base import CrystalSource
from crystal_data.splits.chosen_rows import ChosenRows, choose_rows
from crystal_data.splits.exclusion import EvaluationSet, Excluded, Exclusion, exclude
from crystal_data.splits.split import Splitter
from crystal_data.store.build import open_store, store_folder
from crystal_data.store.edges import EdgeColumn
from crystal_data.store.store import CrystalStore
from crystal_data.transforms.base import Transform


class CrystalDataModule(LightningDataModule):
    """Serves one source to any model.

    The LightningModule that the Trainer runs states what it needs (:class:`BatchNeeds`). Outside a
    Trainer, and for a LightningModule that states nothing, call :meth:`configure`.

    Args:
        source: Where the crystals come from.
        batch_size: Crystals of one optimization step over all devices; with a bound, a further
            limit. None leaves it to the bounds.
        max_atoms: Most atoms in the batch of one device.
        max_edges: Most edges in the batch of one device.
        num_workers: Processes that cut batches; 0 cuts them in the training process, which is
            quick, because batches are cut from columns.
        split: How rows are divided; by default as the source says, or 80:10:10.
        exclude: Structures that must not be trained on, wherever they come from: evaluation sets,
            whole sources, ``"val"`` or ``"test"`` of this source, or a file of identifiers.
        transforms: Applied to training batches alone, in this order.
        on_invalid: ``"error"`` refuses a source with structures that cannot be used, ``"skip"``
            leaves them out and says how many. None skips where the Trainer predicts, and is an
            error elsewhere.
        read_options: How structures are read: what becomes of partly occupied sites, of atoms
            that overlap, and of files that contradict their own formula.
        seed: Of shuffling, transforms and drawn splits.
        cache: Folder of stores; by default ``CRYSTAL_CACHE_HOME``.
        train_size: Train on this many rows, the first of a seeded shuffle, so that smaller sets
            are parts of larger ones; None takes all.
        train_max_atoms: Leave larger crystals out of training, atoms of the cell; None takes all.
        predict_split: What to predict: ``"train"``, ``"val"``, ``"test"``, or None for all rows.
        length_buckets: Put crystals of like sizes into one training batch, for models that pad.
        balance: Column of text, such as ``source`` of a ``JoinedSource``; each of its values has an
            equal share of the rows of an epoch in training. An epoch has as many rows as without;
            those of small groups come several times, those of large ones take turns.
    """

    def __init__(
        self,
        source: CrystalSource,
        *,
        batch_size: int | None = 256,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        num_workers: int = 0,
        split: Splitter | None = None,
        exclude: Sequence[Excluded] = (),
        transforms: Sequence[Transform] = (),
        on_invalid: OnInvalid | None = None,
        read_options: ReadOptions = DEFAULT,
        seed: int = 0,
        cache: str | Path | None = None,
        train_size: int | None = None,
        train_max_atoms: int | None = None,
        predict_split: SplitName | None = None,
        length_buckets: bool = False,
        balance: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size is None and max_atoms is None and max_edges is None:
            raise InvalidArgumentError("give batch_size, max_atoms or max_edges")
        self.source = source
        self.batch_size = batch_size
        self.max_atoms = max_atoms
        self.max_edges = max_edges
        self.num_workers = num_workers
        self.split = split
        self.exclude = tuple(exclude)
        self.transforms = tuple(transforms)
        self.on_invalid = on_invalid
        self.read_options = read_options
        self.seed = seed
        self.cache = cache
        self.train_size = train_size
        self.train_max_atoms = train_max_atoms
        self.predict_split = predict_split
        self.length_buckets = length_buckets
        self.balance = balance
        self._configured = BatchNeeds()
        self._served: tuple[str, ...] = ()
        self._store: CrystalStore | None = None
        self._chosen: ChosenRows | None = None
        self._exclusion: Exclusion | None = None

    def configure(
        self, targets: Sequence[str] = (), graph_spec: GraphSpec | None = None
    ) -> "CrystalDataModule":
        """Says what a model needs where there is no Trainer to ask; returns itself.

        Args:
            targets: Columns that batches bring along.
            graph_spec: Edges that batches have; None for none.
        """
        self._configured = BatchNeeds(tuple(targets), graph_spec)
        return self

    @property
    def needs(self) -> BatchNeeds:
        """What the model needs."""
        module = None if self.trainer is None else self.trainer.lightning_module
        return module.needs if isinstance(module, NeedsBatches) else self._configured

    @property
    def store(self) -> CrystalStore:
        """The opened store."""
        if self._store is None:
            raise RuntimeError("call setup() first: it opens the store")
        return self._store

    @property
    def fields(self) -> dict[str, Field]:
        """What the targets are that there are in the data.

        Raises:
            RuntimeError: Before ``setup()``.
        """
        return {name: self.store.field(name) for name in self._served}

    @override
    def prepare_data(self) -> None:
        predicts = self.trainer is not None and self.trainer.state.fn == "predict"
        store = self._open(self.source, self.on_invalid or ("skip" if predicts else "error"))
        needs = self.needs
        # Edges of atoms that are moved are found anew in every batch.
        are_moved = any(corruption.moves_atoms for corruption in needs.corruptions)
        if needs.graph_spec is not None and (self.max_edges is not None or not are_moved):
            store.add_column(EdgeColumn(needs.graph_spec))
        if needs.collator is not None:
            store.add_column(needs.collator.column)
            if self.on_invalid == "error" or (self.on_invalid is None and not predicts):
                refuse_rejected(store, needs.collator)
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._exclude(store, self._choose(store, self.needs.targets))

    @override
    def setup(self, stage: str | None = None) -> None:
        # The process that prepared the data has said what there is to say about its rejections.
        store = self._store = CrystalStore.open(
            store_folder(self.source, self.read_options, self.cache),
            # A Trainer has called prepare_data before, in one process for all.
            check=self.trainer is None,
        )
        # Crystals can be predicted that nobody has labels for; a target that is missing elsewhere
        # is an error.
        known = store.properties if stage == "predict" else self.needs.targets
        self._served = tuple(name for name in self.needs.targets if name in known)
        chosen = self._chosen = self._choose(store, self._served)
        self._exclusion = Exclusion(chosen.rows["train"], "")
        is_first = self.trainer is None or self.trainer.is_global_zero
        if stage in (None, "fit"):
            self._exclusion = self._exclude(store, chosen)
            chosen.rows["train"] = self._first_of_shuffle(self._exclusion.rows)
            if is_first:
                say(self._summary(chosen, self._exclusion))
        if self.trainer is not None and is_first and not is_trial(self.trainer):
            run = RunFolder(Path(self.trainer.default_root_dir))
            write_data_tables(run, store, self.needs, self._exclusion, stage)
        module = None if self.trainer is None else self.trainer.lightning_module
        if isinstance(module, NeedsBatches):
            module.take_fields(self.fields, is_fit=stage == "fit")

    def _choose(self, store: CrystalStore, targets: Sequence[str]) -> ChosenRows:
        needed = targets if self.needs.needs_labels else ()
        chosen = choose_rows(store, self.split, needed, self.seed)
        refused = list(rejected_by(store, self.needs.collator))
        for name, rows in chosen.rows.items():
            chosen.rows[name] = rows[~np.isin(rows, refused)]
        if self.train_max_atoms is not None:
            rows = chosen.rows["train"]
            chosen.rows["train"] = rows[store.num_atoms[rows] <= self.train_max_atoms]
        return chosen

    def _open(self, source: CrystalSource, on_invalid: OnInvalid) -> CrystalStore:
        return open_store(
            source,
            on_invalid=on_invalid,
            options=self.read_options,
            cache=self.cache,
        )

    def _exclude(self, store: CrystalStore, chosen: ChosenRows) -> Exclusion:
        # What cannot be read of an evaluation set cannot have been trained on either.
        return exclude(store, chosen.rows, self.exclude, lambda other: self._open(other, "skip"))

    def _first_of_shuffle(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(rows) == 0:
            raise InvalidArgumentError(
                f"{self.source.name}: no row is left to train on; the targets are "
                f"{self.needs.targets}, split is {self.split} and exclude is {self.exclude}"
            )
        if self.train_size is None:
            return rows
        if not 1 <= self.train_size <= len(rows):
            raise InvalidArgumentError(
                f"{self.source.name}: train_size is {self.train_size}, of {len(rows)} rows that "
                "there are to train on"
            )
        shuffled = np.random.default_rng(self.seed).permutation(rows)
        return np.sort(shuffled[: self.train_size])

    def _summary(self, chosen: ChosenRows, exclusion: Exclusion) -> str:
        sizes = ", ".join(f"{len(chosen.rows[name])} {name}" for name in SPLIT_NAMES)
        parts = [f"{self.source.name}: {sizes}"]
        if chosen.is_drawn:
            parts.append(f"no split of its own, so 80:10:10 was drawn with seed {self.seed}")
        if self.train_max_atoms is not None:
            parts.append(f"crystals of at most {self.train_max_atoms} atoms in train")
        if chosen.unlabelled:
            parts.append(f"{chosen.unlabelled} without any label left out")
        if exclusion.num_excluded:
            parts.append(f"{exclusion.num_excluded} left out of train, see excluded.csv")
        return "; ".join(parts)

    def sample_ids(self, split: str) -> NDArray[np.int64]:
        """Rows of ``train``, ``val``, ``test`` or ``predict``, in the order they are served in.

        Raises:
            RuntimeError: Before ``setup()``.
        """
        if self._chosen is None:
            raise RuntimeError("call setup() first: it divides the rows")
        if split == "predict":
            chosen = self.predict_split
            # A row without labels can be predicted all the same, so the store is asked.
            rows = np.arange(len(self.store)) if chosen is None else self._chosen.rows[chosen]
            # One crystal that the model cannot take must not stop the others.
            refused = {
                *unsupported(self.store, self.needs.supported_elements),
                *rejected_by(self.store, self.needs.collator),
            }
            return rows[~np.isin(rows, list(refused))]
        return self._chosen.rows[_split_name(split)]

    def train_targets(self) -> dict[str, NDArray[np.float64]]:
        """Labels of the training rows, NaN where there is none: what normalizers fit on.

        Values are those of :meth:`fields`: of atoms there is a row for each atom.
        """
        return self.store.targets(self.needs.targets, self.sample_ids("train"))

    def train_batch(self) -> Any:
        """All training crystals as one batch, without transforms: what scales are fitted on."""
        dataset = CrystalDataset(
            self.store, targets=self._served, collator=self.needs.collator, seed=self.seed
        )
        return dataset[BatchRequest(self.sample_ids("train"), epoch=0)]

    def training_domain(self) -> dict[str, Any]:
        """Elements, sizes and labels of the training rows, for artifacts."""
        return training_domain(self.store, self.sample_ids("train"), self.needs.targets)

    def groups(self, column: str) -> RowGroups:
        """The groups that a column of text divides the store into.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
            InvalidArgumentError: If it does not hold text.
        """
        return RowGroups.of(self.store, column)

    def fingerprint(self) -> str:
        """Hash of the files that it reads, fetched if need be; options are not part of it."""
        others = [item.source if isinstance(item, EvaluationSet) else item for item in self.exclude]
        digest = hashlib.sha256()
        for source in [self.source, *others]:
            if isinstance(source, CrystalSource):
                source.prepare()
                digest.update(source.fingerprint().encode())
            else:
                digest.update(Path(source).read_bytes() if Path(source).is_file() else b"")
        return digest.hexdigest()

    def data_info(self) -> dict[str, Any]:
        """Source, fingerprint, rows of each split, and what was left out, for results."""
        described = self.store.metadata
        exclusion = self._exclusion
        return {
            "source": described["source"],
            "fingerprint": described["fingerprint"],
            "options": described["options"],
            "rows": {name: len(self.sample_ids(name)) for name in SPLIT_NAMES},
            "rejected": described["rejected"],
            "unlabelled": 0 if self._chosen is None else self._chosen.unlabelled,
            "excluded": 0 if exclusion is None else exclusion.num_excluded,
            "exclusion_sha256": exclusion.sha256 if exclusion and exclusion.table else None,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """The same as :meth:`data_info`, for artifacts."""
        return self.data_info()

    @override
    def train_dataloader(self) -> DataLoader[CrystalBatch]:
        return self._loader("train", is_training=True)

    @override
    def val_dataloader(self) -> DataLoader[CrystalBatch] | list[DataLoader[CrystalBatch]]:
        # Training without a validation split is allowed; Lightning then skips the loop.
        return self._loader("val") if len(self.sample_ids("val")) else []

    @override
    def test_dataloader(self) -> DataLoader[CrystalBatch]:
        return self._loader("test")

    @override
    def predict_dataloader(self) -> DataLoader[CrystalBatch]:
        return self._loader("predict")

    def _loader(self, split: str, *, is_training: bool = False) -> DataLoader[CrystalBatch]:
        rows = self.sample_ids(split)
        if len(rows) == 0:
            raise InvalidArgumentError(
                f"{self.source.name} has no {split} rows; split is {self.split}"
            )
        rank, world_size = self._place()
        num_atoms = self.store.num_atoms[rows]
        sampler = CrystalSampler(
            rows,
            batch_size=self.batch_size,
            bounds=self._bounds(rows, num_atoms),
            is_training=is_training,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            bucket_sizes=self._lengths(rows) if self.length_buckets else None,
            groups=self.groups(self.balance).of_row[rows]
            if is_training and self.balance is not None
            else None,
        )
        # Predictions are for the crystals as they are.
        corruptions = () if split == "predict" else self.needs.corruptions
        dataset = CrystalDataset(
            self.store,
            targets=self._served,
            graph_spec=self.needs.graph_spec,
            transforms=(*corruptions, *(self.transforms if is_training else ())),
            seed=self.seed,
            collator=self.needs.collator,
        )
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=_unchanged,
        )

    def _lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """What batches are as long as: tokens or orbits where a collator pads them, or atoms."""
        collator = self.needs.collator
        values = None if collator is None else self.store.column_of(collator.column)
        return self.store.num_atoms[rows] if values is None else np.diff(values.offsets)[rows]

    def _place(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        if self.trainer.world_size > 1 and uses_distributed_sampler(self.trainer):
            raise InvalidArgumentError(
                "CrystalDataModule deals the rows out to the devices itself",
                "pass use_distributed_sampler=False to the Trainer",
            )
        return self.trainer.global_rank, self.trainer.world_size

    def _bounds(self, rows: NDArray[np.int64], num_atoms: NDArray[np.int64]) -> tuple[Bound, ...]:
        bounds = []
        if self.max_atoms is not None:
            bounds.append(Bound("max_atoms", self.max_atoms, num_atoms))
        if self.max_edges is not None:
            spec = self.needs.graph_spec
            edges = None if spec is None else self.store.column_of(EdgeColumn(spec))
            if edges is None:
                raise InvalidArgumentError(
                    "max_edges bounds batches with edges; this model asks for none"
                )
            bounds.append(Bound("max_edges", self.max_edges, np.diff(edges.offsets)[rows]))
        return tuple(bounds)


def _split_name(split: str) -> SplitName:
    for name in SPLIT_NAMES:
        if name == split:
            return name
    raise InvalidArgumentError(
        f"no split {split!r}; there are {', '.join(SPLIT_NAMES)} and predict"
    )


def _unchanged(batch: Any) -> Any:
    return batch
