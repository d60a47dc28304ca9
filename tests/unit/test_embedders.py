import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import write_audio
from evaluation.aisfx import BLOCK_FRAMES, AisfxEmbedder, in_blocks, mel_triangles
from evaluation.embedders import EmbeddingCache, MelStatistics, load_embedder


class Counting:
    """Mean and length of a clip; counts how often it was asked."""

    name = "counting"
    sample_rate = 8000
    width = 2
    fingerprint = "0123456789abcdef"

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, waveform: np.ndarray) -> torch.Tensor:
        self.calls += 1
        return torch.tensor([float(waveform.mean()), float(len(waveform))])


class Wrong(Counting):
    def embed(self, waveform: np.ndarray) -> torch.Tensor:
        return torch.zeros(3)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five constant clips, the last the same as the first under another name."""
    paths = []
    for number, level in enumerate((0.1, 0.2, 0.3, 0.4, 0.1)):
        paths.append(tmp_path / "clips" / f"{number}.wav")
        write_audio(paths[-1], np.full(800, level, dtype=np.float32), 8000)
    return paths


def test_the_cache_asks_once_for_each_content(files: list[Path], tmp_path: Path):
    first = Counting()
    vectors = EmbeddingCache(first, tmp_path / "cache").of_files(files)
    assert vectors[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.1], abs=1e-4)
    assert first.calls == 4
    second = Counting()
    again = EmbeddingCache(second, tmp_path / "cache").of_files(files[::-1])
    assert second.calls == 0
    assert torch.equal(again, vectors.flip(0))
    # Another content under an old name is heard anew.
    write_audio(files[0], np.full(800, -0.5, dtype=np.float32), 8000)
    assert EmbeddingCache(second, tmp_path / "cache").of_files(files[:1])[0, 0] == pytest.approx(-0.5, abs=1e-4)
    assert second.calls == 1


def test_another_fingerprint_never_sees_the_vectors(files: list[Path], tmp_path: Path):
    EmbeddingCache(Counting(), tmp_path / "cache").of_files(files)
    other = Counting()
    other.fingerprint = "f" * 16
    EmbeddingCache(other, tmp_path / "cache").of_files(files)
    assert other.calls == 4


def test_broken_and_unwritable_caches_only_cost_time(files: list[Path], tmp_path: Path):
    expected = EmbeddingCache(Counting(), tmp_path / "cache").of_files(files)
    shards = sorted((tmp_path / "cache").rglob("*.safetensors"))
    assert shards
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:-5])
    again = Counting()
    assert torch.equal(EmbeddingCache(again, tmp_path / "cache").of_files(files), expected)
    assert again.calls == 4
    (tmp_path / "a file").write_text("no folder")
    assert torch.equal(EmbeddingCache(Counting(), tmp_path / "a file").of_files(files), expected)


def test_a_killed_run_keeps_what_it_had_saved(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evaluation.embedders.SAVE_EVERY", 1)

    def stops(paths: list[Path]):
        yield from paths[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(Counting(), tmp_path / "cache").of_files(files, stops)
    rest = Counting()
    EmbeddingCache(rest, tmp_path / "cache").of_files(files)
    assert rest.calls == 2


def test_clips_in_memory_are_resampled(tmp_path: Path):
    cache = EmbeddingCache(Counting(), tmp_path)
    vectors = cache.of_waveforms([np.ones(1600, dtype=np.float32), torch.ones(160)], 16000)
    assert vectors[:, 1].tolist() == [800.0, 80.0]
    assert cache.of_waveforms([], 16000).shape == (0, 2)
    assert not list(tmp_path.iterdir())


def test_missing_files_and_wrong_vectors_are_refused(files: list[Path], tmp_path: Path):
    with pytest.raises(ValueError, match="not a readable sound file"):
        EmbeddingCache(Counting(), tmp_path).of_files([tmp_path / "none.wav"])
    with pytest.raises(ValueError, match=r"expected 2 finite numbers.*got shape \(3,\)"):
        EmbeddingCache(Wrong(), tmp_path).of_files(files)


def test_mel_statistics_know_level_and_place():
    ear = MelStatistics()
    time = np.arange(44100, dtype=np.float32) / 44100
    low, high = (np.sin(2 * np.pi * hertz * time, dtype=np.float32) * 0.5 for hertz in (200, 8000))
    bands = ear.width // 4
    assert ear.embed(low)[:bands].argmax() < 12 < 45 < ear.embed(high)[:bands].argmax()
    # Ten times the amplitude: ln 10 more in the loudest band, nothing elsewhere in the deviation.
    louder = ear.embed(low) - ear.embed(low / 10)
    assert louder[ear.embed(low)[:bands].argmax()] == pytest.approx(np.log(10.0), abs=1e-3)
    assert ear.embed(np.zeros(1, dtype=np.float32)).shape == (ear.width,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "expected one of aisfx, mel, speech, panns, vggish, clap:NAME, wav2vec2:NAME"),
        ("clap:", "expected one of"),
        ("no_such_module.Ear", "cannot import 'no_such_module.Ear'"),
        ("collections.Counter", "needs name, sample_rate, width, fingerprint"),
    ],
)
def test_unknown_embedders_are_one_line(name: str, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        load_embedder(name)
    assert "\n" not in str(caught.value)


def test_ones_own_embedder_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_ears.py").write_text(
        "import torch\nclass Ear:\n    name, sample_rate, width, fingerprint = 'mine', 100, 1, 'a' * 16\n"
        "    def embed(self, waveform):\n        return torch.ones(1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_embedder("my_ears.Ear").sample_rate == 100


@pytest.mark.parametrize("name", ["clap:some/model", "wav2vec2:some/model", "panns", "speech"])
def test_what_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path))
    for module in ("transformers", "panns_inference", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"pip install|pipelines\.install_ears --only speech") as caught:
        load_embedder(name)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the hub\nwith a long story")

    monkeypatch.setattr(torch.hub, "load", unreachable)
    with pytest.raises(
        ValueError, match=r"^embedder 'vggish' cannot be had here \(no route to the hub\); name 'aisfx'"
    ):
        load_embedder("vggish")


def test_panns_and_vggish_pad_short_clips(monkeypatch: pytest.MonkeyPatch):
    class Vggish(torch.nn.Linear):
        def forward(self, clip: np.ndarray, rate: int) -> torch.Tensor:
            return torch.full((len(clip) // rate, 128), float(rate))

    class Tagger:
        def __init__(self, checkpoint_path: None, device: str) -> None:
            self.model = torch.nn.Linear(1, 1)

        def inference(self, batch: np.ndarray) -> tuple[None, np.ndarray]:
            return None, np.full((1, 2048), batch.shape[1])

    monkeypatch.setattr(torch.hub, "load", lambda *_, **__: Vggish(1, 1))
    monkeypatch.setitem(sys.modules, "panns_inference", types.SimpleNamespace(AudioTagging=Tagger))
    one = np.zeros(1, dtype=np.float32)
    assert load_embedder("vggish").embed(one).tolist() == [16000.0] * 128
    assert load_embedder("panns").embed(one).tolist() == [32000.0] * 2048


def test_aisfx_blocks_overlap_by_half_and_drop_the_rest():
    picture = torch.arange(260.0)[:, None].expand(-1, 96)
    blocks = in_blocks(picture)
    assert blocks.shape == (4, BLOCK_FRAMES, 96)
    assert blocks[:, 0, 0].tolist() == [0.0, 50.0, 100.0, 150.0]
    short = in_blocks(picture[:30])
    assert short.shape == (1, BLOCK_FRAMES, 96)
    assert short[0, 29, 0] == 29.0
    assert not short[0, 30:].any()


def test_aisfx_triangles_sum_to_one():
    triangles = mel_triangles()
    assert triangles.shape == (96, 1025)
    assert torch.allclose(triangles.sum(dim=1), torch.ones(96), atol=1e-5)
    assert (triangles.argmax(dim=1).diff() >= 0).all()


def test_aisfx_hears_any_length(ears: None):
    ear = load_embedder("aisfx")
    assert isinstance(ear, AisfxEmbedder)
    noise = np.random.default_rng(0).standard_normal(3 * 44100).astype(np.float32) * 0.1
    for samples in (1, 500, 44100, 3 * 44100):
        vector = ear.embed(noise[:samples])
        assert vector.shape == (512,)
        assert torch.isfinite(vector).all()
    assert torch.equal(ear.embed(noise), ear.embed(noise))
