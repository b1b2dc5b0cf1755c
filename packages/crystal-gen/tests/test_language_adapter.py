"""Published language models with adapters, in the form of the hub: a small checkpoint of it."""

from pathlib import Path

import pytest
import torch

from crystal_data.artifacts import Artifact, ArtifactError
from crystal_data.generation import GenerationRequest
from crystal_data.io.cif import to_cif
from crystal_data.transforms import SampleRandom
from crystal_gen import WyckoffAssignment, load_symmetry_model
from crystal_gen.__main__ import main
from crystal_gen.language.adapter import LanguageAdapter
from crystal_gen.language.base import find_base
from crystal_gen.wyckoff.batch import WyckoffBatch, wyckoff_batch

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
# peft 0.21 asks transformers 5.24 by a name that it calls old.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    "eos_token_id": [0],
}
CARD = "---\nlicense: other\nlicense_name: glm-4\n---\n# A small GLM\n"


def checkpoint(folder: Path, kind: str, tokenizer: object, seed: int = 0) -> str:
    """A folder as a repository of the hub is."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **SIZES)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def batch() -> WyckoffBatch:
    made = []
    for group, text in ((225, "Na:4a Cl:4b"), (221, "Cs:1a Cl:1b"), (136, "Ti:2a O:4f")):
        request = GenerationRequest.from_dict({"space_group": group, "wyckoff": text})
        made.append(WyckoffAssignment.from_sites(group, request.wyckoff).canonical())
    names = [str(each) for each in made]
    return wyckoff_batch(made, sample_id=torch.arange(3), identifier=names, targets={})


def adapter(base: str, **options: object) -> LanguageAdapter:
    torch.manual_seed(1)
    options = {"properties": [], "precision": "float32", **options}
    return LanguageAdapter(base, **options)


def trained(model: LanguageAdapter, batch: WyckoffBatch) -> list[float]:
    """Losses of some steps."""
    model.load_base()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, losses = torch.optim.Adam(weights, 0.02), []
    for step in range(8):
        sums = model.train().losses(batch, SampleRandom(0, step, batch.sample_id))
        loss = torch.stack([total for total, _ in sums.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("kind", ["glm", "glm4"])
def test_an_adapter_learns_is_saved_and_loaded(
    kind: str, tmp_path: Path, batch: WyckoffBatch, piece_tokens
) -> None:
    base = checkpoint(tmp_path / "base", kind, piece_tokens("bytes").tokenizer)
    model = adapter(base, saves_memory=True)
    losses = trained(model, batch)
    assert losses[-1] < losses[0] - 1.0
    model.eval().save_pretrained(tmp_path / "adapter")
    artifact = Artifact.load(tmp_path / "adapter", kind="adapter")
    assert artifact.base is not None
    assert (artifact.base.id, artifact.base.license) == ("base", "glm-4")
    assert artifact.base.revision == find_base(base).reference.revision
    # Beside it there is nothing of the base.
    assert all("adapted" not in name for name in artifact.weights)
    assert all("lora_" in name for name in model.state_dict() if "adapted" in name)
    loaded = LanguageAdapter.from_pretrained(tmp_path / "adapter").eval()
    torch.testing.assert_close(loaded.group_logs(batch), model.group_logs(batch))
    assert loaded.artifact_base() == artifact.base
    # As anybody with peft loads it.
    plain = transformers.AutoModelForCausalLM.from_pretrained(base)
    plain = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter" / "adapter").eval()
    tokens = torch.arange(7)[None]
    with torch.no_grad():
        expected = model.network(tokens).logits
        torch.testing.assert_close(plain(tokens).logits, expected)
        assert not torch.allclose(plain.unload()(tokens).logits, expected)


def test_an_adapter_keeps_to_its_base(tmp_path: Path, batch: WyckoffBatch, piece_tokens) -> None:
    tokenizer = piece_tokens("words").tokenizer
    base = checkpoint(tmp_path / "base", "glm", tokenizer)
    other = checkpoint(tmp_path / "other", "glm", tokenizer, seed=2)
    model = adapter(base)
    model.load_base()
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ArtifactError, match="the hub gave nothing"):
        LanguageAdapter.from_pretrained(tmp_path / "adapter")
    with pytest.raises(ArtifactError, match="belongs to other weights"):
        LanguageAdapter.from_pretrained(tmp_path / "adapter", base=other)
    moved = str(tmp_path / "moved")
    loaded = LanguageAdapter.from_pretrained(tmp_path / "adapter", base=moved).eval()
    torch.testing.assert_close(loaded.group_logs(batch), model.eval().group_logs(batch))


def test_a_state_is_taken_without_the_base(tmp_path: Path, batch, piece_tokens) -> None:
    base = checkpoint(tmp_path / "base", "glm", piece_tokens("words").tokenizer)
    model, fresh = adapter(base), adapter(base, rank=8)
    trained(model, batch)
    fresh.load_base()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(fresh.eval().group_logs(batch), model.eval().group_logs(batch))
    state = {name: weight for name, weight in model.state_dict().items() if "lora_A" not in name}
    with pytest.raises(RuntimeError, match="lora_A"):
        fresh.load_state_dict(state)


def test_what_is_no_base_is_refused(tmp_path: Path, piece_tokens) -> None:
    tokenizer = piece_tokens("words").tokenizer
    folder = checkpoint(tmp_path / "base", "llama", tokenizer)
    with pytest.raises(ArtifactError, match="of the type 'llama'"):
        adapter(folder).load_base()
    (tmp_path / "base" / "README.md").write_text("# no license", encoding="utf-8")
    with pytest.raises(ArtifactError, match="names no license"):
        adapter(folder).load_base()
    (tmp_path / "base" / "config.json").write_text('{"model_type": "chatglm"}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="cannot read it"):
        adapter(folder, base_license="MIT").load_base()


def test_a_missing_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: object, **_options: object) -> str:
        raise OSError("no route to host\nmore of it")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ArtifactError) as error:
        adapter("zai-org/glm-4-9b-hf").load_base()
    assert "\n" not in str(error.value)
    assert "OSError: no route to host" in str(error.value)
    assert "folder" in str(error.value)


def test_what_the_hub_gives_is_known_by_its_commit(
    tmp_path: Path, batch: WyckoffBatch, piece_tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    checkpoint(tmp_path / commit, "glm", piece_tokens("words").tokenizer)
    asked = []

    def fetched(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        return str(tmp_path / commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    model = adapter("owner/glm-hf")
    model.load_base()
    model.save_pretrained(tmp_path / "adapter")
    loaded = LanguageAdapter.from_pretrained(tmp_path / "adapter")
    assert asked == [("owner/glm-hf", None), ("owner/glm-hf", commit)]
    base = loaded.artifact_base()
    assert base is not None
    assert (base.id, base.revision, base.license) == ("owner/glm-hf", commit, "glm-4")


def test_an_adapter_is_asked_by_the_command(tmp_path: Path, piece_tokens, capsys) -> None:
    model = adapter(checkpoint(tmp_path / "base", "glm", piece_tokens("bytes").tokenizer))
    model.load_base()
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "base").rename(tmp_path / "moved")
    asked = ["symmetry", "--model", str(tmp_path / "model"), "--formula", "NaCl", "--z", "1"]
    asked += ["--spacegroup", "225", "--n", "2"]
    capsys.readouterr()
    assert main(asked) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main([*asked, "--base", str(tmp_path / "moved")]) == 0
    assert "100.00 %" in capsys.readouterr().out


@pytest.mark.slow
def test_an_adapter_is_trained_by_the_command(tmp_path: Path, toys, piece_tokens, capsys) -> None:
    known = tmp_path / "known"
    known.mkdir()
    for crystal in toys:
        (known / f"{crystal.identifier}.cif").write_text(to_cif(crystal), encoding="utf-8")
    config = Path(__file__).parents[3] / "configs" / "gen" / "glm-4-9b-mp20.yaml"
    if not config.is_file():
        pytest.skip("the configs are not here")
    base = checkpoint(tmp_path / "base", "glm", piece_tokens("words").tokenizer)
    run = tmp_path / "run"
    arguments = ["--config", str(config), "--trainer.default_root_dir", str(run)]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "2"]
    arguments += ["--model.model.base", base, "--model.model.properties", "[]"]
    arguments += ["--data.source", "crystal_data.FolderSource", "--data.source.path", str(known)]
    assert main(["fit", *arguments]) == 0
    assert main(["test", *arguments, "--ckpt_path", "best"]) == 0
    # Checkpoints hold what is learned alone.
    [saved] = (run / "checkpoints").glob("best*.ckpt")
    state = torch.load(saved, weights_only=True)["state_dict"]
    assert any("lora_" in name for name in state)
    assert not any("embed_tokens" in name or "lm_head" in name for name in state)
    loaded = load_symmetry_model(run / "artifact")
    assert isinstance(loaded, LanguageAdapter)
    learned = [weight for name, weight in loaded.state_dict().items() if "lora_B" in name]
    assert all(weight.any() for weight in learned)
