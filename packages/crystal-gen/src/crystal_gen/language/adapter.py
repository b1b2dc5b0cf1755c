"""A published language model that learns symmetry by low-rank adaptation."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import nn
from typing_extensions import override

from crystal_data.artifacts import Artifact, ArtifactError, BaseModel, TargetScale
from crystal_data.errors import InvalidArgumentError
from crystal_gen.language.base import Precision, find_base, read_base
from crystal_gen.language.cursor import PieceTokens
from crystal_gen.language.model import LanguageModel
from crystal_gen.language.optional import optional_library

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FOLDER = "adapter"  # of an artifact, in the format of peft
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NETWORK = "adapted."  # in the names of weights
_COMMIT = 40  # digits
_TRAIN_AGAIN = "use an adapter that crystal-gen fit has written"


class LanguageAdapter(LanguageModel):
    """GLM-4 with LoRA: what is learned is small, and lies beside the published weights.

    The published weights are read when training begins (:meth:`load_base`), and are neither in
    checkpoints nor in the artifact, which is of the kind ``adapter`` and names them by id, revision
    and license. Its folder ``adapter/`` is in peft's own format. For each property train an adapter
    of its own.

    Args:
        base: Folder, or ``owner/name`` on the hub: repositories of GLM-4 that end in ``-hf``, or
            the later ones of the type ``glm4``.
        revision: Commit on the hub; None takes the newest, and the artifact says which one it was.
        base_license: Of the base; None takes what its model card says.
        properties: Columns of the data that may be wished for.
        rank: Of the adaptation.
        alpha: Its scale, divided by the rank.
        dropout: Share of its inputs that are hidden in training.
        target_modules: Layers that it changes; there are also ``o_proj``, ``gate_up_proj`` and
            ``down_proj``.
        precision: Of the published weights in memory; what is learned is in float32.
        saves_memory: Training works out again what it could keep (gradient checkpointing).
        uses_element_properties: Prompts describe the elements; False is an ablation.
        lists_positions: Answers name all positions of the group before they choose.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
        learns_legal: Training counts legal choices alone, as answers do. False learns whole answers
            among all tokens, as language models usually do.

    Source:
        LoRA: Hu et al., arXiv 2106.09685. Rank, alpha, dropout and layers are those of the
        fine-tuning demo of GLM-4, whose ``query_key_value`` is three layers in transformers.
    """

    def __init__(
        self,
        base: str,
        *,
        revision: str | None = None,
        base_license: str | None = None,
        properties: Sequence[str] = ("formation_energy_per_atom",),
        rank: int = 8,
        alpha: int = 32,
        dropout: float = 0.1,
        target_modules: Sequence[str] = ("q_proj", "k_proj", "v_proj"),
        precision: Precision = "bfloat16",
        saves_memory: bool = False,
        uses_element_properties: bool = True,
        lists_positions: bool = True,
        exchange: float = 0.0,
        learns_legal: bool = True,
    ) -> None:
        super().__init__(
            properties,
            uses_element_properties=uses_element_properties,
            lists_positions=lists_positions,
            exchange=exchange,
            learns_legal=learns_legal,
        )
        self.base = base
        self.adapted: nn.Module | None = None
        self._revision, self._license, self._precision = revision, base_license, precision
        self._saves_memory = saves_memory
        self._lora = {
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": dropout,
            "target_modules": list(target_modules),
            "task_type": "CAUSAL_LM",
        }
        self._reference: BaseModel | None = None
        self._spoken: PieceTokens | None = None
        self.register_state_dict_post_hook(_without_base)
        self.register_load_state_dict_post_hook(_forgive_base)

    @override
    def load_base(self) -> None:
        if self.adapted is None:
            self._read(None)

    def _read(self, adapter: Path | None) -> None:
        """Reads the base, and lays a fresh adapter or a saved one upon it.

        Args:
            adapter: Folder in the format of peft; None for a fresh one.
        """
        peft = optional_library("peft")
        published = find_base(self.base, self._revision, self._license)
        network, tokenizer = read_base(published, self._precision)
        if self._saves_memory:
            network.activation_checkpointing_enable({"use_reentrant": False})
        reference = published.reference
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.24 by a name that it calls old.
            warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
            if adapter is None:
                config = peft.LoraConfig(
                    **self._lora, base_model_name_or_path=reference.id, revision=reference.revision
                )
                self.adapted = peft.get_peft_model(network, config)
            else:
                self.adapted = peft.PeftModel.from_pretrained(network, adapter, is_trainable=True)
        self._reference = reference
        self._spoken = PieceTokens(tokenizer)
        self.adapted.to(self.property_mean.device).train(self.training)

    @property
    @override
    def network(self) -> "PreTrainedModel":
        if self.adapted is None:
            raise InvalidArgumentError("the published model is not read", "call load_base()")
        found: PreTrainedModel = self.adapted.get_base_model()  # type: ignore[operator]
        return found

    @property
    @override
    def spoken(self) -> PieceTokens:
        if self._spoken is None:
            raise InvalidArgumentError("the published model is not read", "call load_base()")
        return self._spoken

    @override
    def artifact_base(self) -> BaseModel | None:
        return self._reference

    @override
    def artifact_files(self) -> Mapping[str, bytes]:
        if self.adapted is None:
            raise InvalidArgumentError("the published model is not read", "call load_base()")
        with tempfile.TemporaryDirectory() as scratch:
            # Else peft asks the hub whether the words have changed, which they have not.
            self.adapted.save_pretrained(scratch, save_embedding_layers=False)  # type: ignore[operator]
            own = {f"{_FOLDER}/{n}": (Path(scratch) / n).read_bytes() for n in (_CONFIG, _WEIGHTS)}
        return {**super().artifact_files(), **own}

    @override
    def to_artifact(
        self,
        *,
        targets: Mapping[str, TargetScale] | None = None,
        metadata: Mapping[str, Any] | None = None,
        untrained: Sequence[str] = (),
    ) -> Artifact:
        registry = self.registry()
        registry.check(type(self))
        weights = {k: v for k, v in self.state_dict().items() if not k.startswith(_NETWORK)}
        return Artifact(
            package=registry.package,
            class_name=type(self).__name__,
            arguments=self.artifact_arguments(),
            weights=weights,
            targets=targets or {},
            metadata=metadata or {},
            untrained=untrained,
            kind="adapter",
            files=self.artifact_files(),
            base=self.artifact_base(),
        )

    @classmethod
    @override
    def from_pretrained(
        cls,
        path_or_hub_id: str | Path,
        *,
        allow_package: str | None = None,
        base: str | None = None,
    ) -> Self:
        """Loads an adapter and the published model that it belongs to.

        Args:
            path_or_hub_id: Folder of the artifact or of a run that has one, or ``owner/name``.
            allow_package: Not used; the class is this one.
            base: Folder of the published model; None takes it from where training took it.

        Raises:
            ArtifactError: If one of them cannot be read, or the folder holds other weights.
        """
        artifact = Artifact.load(path_or_hub_id, kind="adapter")
        recorded = artifact.base
        if artifact.class_name != cls.__name__ or recorded is None:
            raise ArtifactError(
                f"{path_or_hub_id}: an adapter of the class {artifact.class_name}"
                + (", which names no base model" if recorded is None else ""),
                _TRAIN_AGAIN,
            )
        arguments = {**artifact.arguments, "base_license": recorded.license}
        if base is not None:
            arguments["base"] = base
        is_commit = len(recorded.revision) == _COMMIT
        if is_commit:
            arguments["revision"] = recorded.revision
        model = cls.from_artifact(replace(artifact, arguments=arguments))
        found = model.artifact_base()
        # Of a copy of what the hub has, nothing tells the commit.
        if not is_commit and found != replace(recorded, id=found.id if found else ""):
            raise ArtifactError(
                f"{path_or_hub_id}: the adapter belongs to other weights than those of "
                f"{arguments['base']}",
                "give the folder of the base model that it was trained upon",
            )
        model._reference = recorded
        return model

    @classmethod
    @override
    def from_artifact(cls, artifact: Artifact) -> Self:
        model = super().from_artifact(artifact)
        _check_config(artifact.file(f"{_FOLDER}/{_CONFIG}"))
        with tempfile.TemporaryDirectory() as scratch:
            for name in (_CONFIG, _WEIGHTS):
                (Path(scratch) / name).write_bytes(artifact.file(f"{_FOLDER}/{name}"))
            model._read(Path(scratch))
        model.load_state_dict(dict(artifact.weights), strict=False)
        return model


def _without_base(_module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in list(state):
        if name.startswith(prefix) and _is_of_base(name):
            del state[name]


def _forgive_base(_module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if not _is_of_base(name)]


def _is_of_base(name: str) -> bool:
    return _NETWORK in name and ".lora_" not in name


def _check_config(content: bytes) -> None:
    """Raises unless a config of peft is one of LoRA.

    Raises:
        ArtifactError: If it is something else.
    """
    try:
        kind = json.loads(content)["peft_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{_CONFIG} is no config of peft", _TRAIN_AGAIN) from error
    if kind != "LORA":
        raise ArtifactError(
            f"{_CONFIG} is of an adapter of the kind {kind!r:.50}, not LORA", _TRAIN_AGAIN
        )
