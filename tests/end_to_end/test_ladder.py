"""The oracle ladder on real recordings: a stage that is broken on purpose is the one it names."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip
from audio.files import read_audio, write_audio
from audio.latents import LatentSpec
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.model import MelVAE, MelVAEConfig
from autoencoder.principal import BlockMoments, frame_blocks, start_at_principal_components
from evaluation.embedders import EmbeddingCache, load_embedder
from pipelines import ladder_rungs
from pipelines.bundle import Defaults
from pipelines.ladder import main
from pipelines.ladder_latents import make_latents, read_latents
from pipelines.ladder_measures import Ladder, measure
from pipelines.ladder_rungs import climb, judgeable
from pipelines.request import Job
from pipelines.text_to_audio import TextToAudioPipeline
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import clip_and_mel

SECONDS = 0.4
CLIPS = 24
CHANNELS = 128


@pytest.fixture
def _quick_griffin_lim(monkeypatch: pytest.MonkeyPatch) -> None:
    # The culprit is as plain after 8 iterations as after 64.
    monkeypatch.setattr(ladder_rungs, "GriffinLim", partial(GriffinLim, iterations=8))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def recordings(sonic_pi_folder: Path) -> list[Path]:
    """Real recordings that last longer than a clip of the planted models."""
    return [path for path in sorted(sonic_pi_folder.glob("*.flac")) if len(read_audio(path)[0]) > 44_100 * SECONDS]


@pytest.fixture(scope="module")
def clips(recordings: list[Path]) -> list[Clip]:
    chosen = recordings[:: len(recordings) // CLIPS][:CLIPS]
    return [Clip(path, (path.stem,), 1.0, -10.0, 1000.0, recording=path.stem, split="test") for path in chosen]


@pytest.fixture(scope="module")
def mels(clips: list[Clip], mel: MelConfig) -> list[Tensor]:
    front_end = LogMelSpectrogram(mel)
    found = (read_audio(clip.path, mel.sample_rate, seconds=SECONDS)[0] for clip in clips)
    return [clip_and_mel(torch.from_numpy(waveform), front_end)[1] for waveform in found]


class Hiss:
    """A broken vocoder: noise, whatever it is asked for."""

    def __init__(self, mel: MelConfig) -> None:
        self.mel = mel

    def decode(self, log_mel: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return 0.1 * torch.randn(len(log_mel), self.mel.num_samples(log_mel.shape[-1]), generator=generator)


class Planted(TextToAudioPipeline):
    """A chain whose diffusion model answers with latents that were put into it."""

    def __init__(self, autoencoder: MelVAE, vocoder: object, answers: Sequence[Tensor]) -> None:
        self.autoencoder, self.vocoder, self.answers = autoencoder.eval(), vocoder, answers
        self.device, self.precision = torch.device("cpu"), torch.float32
        self.defaults = Defaults(seconds=SECONDS, max_seconds=SECONDS)
        spec = LatentSpec(CHANNELS, 2, (0.0,) * CHANNELS, (1.0,) * CHANNELS, autoencoder.mel, "", (0.0,) * CHANNELS)
        self.diffusion = SimpleNamespace(spec=spec, solver_names=lambda: ("euler",), guide=None)

    def latents(self, jobs: Sequence[Job], settings: dict, on_step: object = None) -> Tensor:
        return torch.cat([self.answers[job.index] for job in jobs])


def good_autoencoder(mel: MelConfig, mels: Sequence[Tensor]) -> MelVAE:
    """The best linear one for these very clips; its networks are silenced."""
    torch.manual_seed(0)
    network = MelVAE(
        mel,
        MelVAEConfig(
            latent_channels=CHANNELS, width=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1), linear_path=True
        ),
    )
    moments = BlockMoments(2 * mel.n_mels)
    for log_mel in mels:
        moments.add(frame_blocks(network, log_mel, torch.tensor([log_mel.shape[-1]])))
    start_at_principal_components(network, moments)
    return network


def broken_autoencoder(mel: MelConfig, mels: Sequence[Tensor]) -> MelVAE:
    torch.manual_seed(0)
    return MelVAE(mel, MelVAEConfig(latent_channels=CHANNELS, width=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1)))


def of_another_clip(latents: list[Tensor]) -> list[Tensor]:
    """A perfect diffusion model: real sounds, though not the one that the caption was taken from."""
    return latents[1:] + latents[:1]


def white_noise(latents: list[Tensor]) -> list[Tensor]:
    """One that learned nothing."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(latent.shape, generator=generator) for latent in latents]


def climbed(
    clips: list[Clip], mels: list[Tensor], folder: Path, autoencoder: MelVAE, vocoder: object, dream: Callable
) -> Ladder:
    with torch.inference_mode():
        real = [autoencoder.eval().encode(log_mel).mean for log_mel in mels]
    pipeline = Planted(autoencoder, vocoder, dream(real))
    assert judgeable(pipeline, clips) == clips
    paths = make_latents(pipeline, clips, folder)
    found = climb(pipeline, zip(clips, paths, strict=True), EmbeddingCache(load_embedder("mel")))
    return measure(clips, found, [], [])


@pytest.mark.usefixtures("_quick_griffin_lim")
@pytest.mark.parametrize("culprit", ["vocoder", "autoencoder", "diffusion"])
def test_a_planted_culprit_is_named(culprit, clips, mels, mel, tmp_path):
    autoencoder = (broken_autoencoder if culprit == "autoencoder" else good_autoencoder)(mel, mels)
    vocoder = Hiss(mel) if culprit == "vocoder" else GriffinLim(mel, iterations=8)
    dream = white_noise if culprit == "diffusion" else of_another_clip
    result = climbed(clips, mels, tmp_path, autoencoder, vocoder, dream)
    assert result.verdict.stage == culprit, result.verdict.sentence
    lost = result.losses[culprit, "vocoder"]
    assert lost.low > 0.0
    others = [result.losses[stage, "vocoder"] for stage in ("vocoder", "autoencoder", "diffusion") if stage != culprit]
    assert all(loss.value < 0.3 * lost.value for loss in others)
    if culprit == "vocoder":
        # Griffin-Lim tells that the mel was good: the vocoder alone is at fault.
        gap = result.decoders["vocoder"]
        assert gap.low > 0.0
        assert result.distances["vocoder", "griffin-lim"].value < 0.2 * lost.value
        assert result.mel_distances["vocoder", "vocoder"].low > result.mel_distances["vocoder", "griffin-lim"].high
    else:
        # The bundle's vocoder is Griffin-Lim here, so that both say the same.
        assert result.distances["diffusion", "vocoder"] == result.distances["diffusion", "griffin-lim"]
    if culprit == "autoencoder":
        assert result.mel_distances["autoencoder", "vocoder"].low > result.mel_distances["vocoder", "vocoder"].high


@pytest.fixture(scope="module")
def folder(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen real recordings to judge, ten to train on, a click that is too short for the mel."""
    out = tmp_path_factory.mktemp("recordings")
    rows = []
    for number, path in enumerate(recordings[::4][:22]):
        write_audio(out / path.name, read_audio(path, seconds=0.5)[0], 44_100)
        split = "test" if number < 12 else "train"
        rows.append({"file_name": path.name, "text": path.stem, "family": path.stem.split("_")[0], "split": split})
    click = read_audio(recordings[0])[0][:1500]
    write_audio(out / "click.wav", click, 44_100)
    rows.append({"file_name": "click.wav", "text": "a click", "family": "click", "split": "test"})
    (out / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return out


def run(model: Path, audio: Path, out: Path, *more: str) -> int:
    return main(["--model", str(model), "--audio", str(audio), "--out", str(out), "--embedder", "mel", *more])


def test_the_command_writes_its_report_and_goes_on_where_it_was(small_bundle, folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "ladder"
    assert run(small_bundle, folder, out) == 0
    printed = capsys.readouterr()
    sentence, path = printed.out.strip().splitlines()
    assert Path(path) == out / "report.html"
    assert "real mel" in printed.err
    found = json.loads((out / "report.json").read_text())
    assert found["sentence"] == sentence
    assert (found["clips"], found["recordings"], found["too_short"], found["floor_clips"]) == (12, 12, 1, 10)
    assert found["embedder"].startswith("mel ")
    rungs = {(rung["stage"], rung["decoder"]): rung for rung in found["rungs"]}
    assert len(rungs) == 6
    for decoder in ("vocoder", "griffin-lim"):
        steps = [rungs[stage, decoder] for stage in ("vocoder", "autoencoder", "diffusion")]
        distances = [step["kernel_distance"]["value"] for step in steps]
        assert [step["loss"]["value"] for step in steps] == pytest.approx(
            [distances[0], distances[1] - distances[0], distances[2] - distances[1]]
        )
        assert all(step["multi_scale_mel_distance"]["low"] > 0.0 for step in steps[:2])
        assert steps[2]["multi_scale_mel_distance"] is None
    attacks = found["onset_rise_ms"]
    assert (attacks["clips"], attacks["real"], attacks["rungs"]) == (0, None, {})
    assert "Onset rise of drums not computed: 0 recordings of drums, 8 are enough." in printed.err
    page = (out / "report.html").read_text()
    assert page.count("<audio") == 6 * 7
    assert page.count("data:image/png") == 6 * 7 + 1
    files = sorted((out / "latents").rglob("*.safetensors"))
    assert len(files) == 12
    assert read_latents(files[0]).shape[:2] == (1, 8)
    # Only what is missing is made again, and it comes out the same.
    lost = read_latents(files[3])
    files[3].unlink()
    made: list[int] = []
    sample = TextToAudioPipeline.latents

    def counted(self: TextToAudioPipeline, jobs: Sequence[Job], settings: dict, on_step: object = None) -> Tensor:
        made.extend(job.index for job in jobs)
        return sample(self, jobs, settings)

    monkeypatch.setattr(TextToAudioPipeline, "latents", counted)
    before = read_latents(files[4])
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle)
    judged = judgeable(pipeline, AudioFolder.scan(folder).split("test"))
    assert make_latents(pipeline, judged, out / "latents") == files
    assert made == [3]
    assert torch.equal(read_latents(files[4]), before)
    torch.testing.assert_close(read_latents(files[3]), lost, atol=0.02, rtol=0.02)
    # Another seed is another set; nothing is mixed.
    assert make_latents(pipeline, judged[:1], out / "latents", seed=1)[0].parent != files[0].parent


def test_too_few_clips_get_no_kernel_distance(small_bundle, folder, tmp_path, capsys):
    assert run(small_bundle, folder, tmp_path / "few", "--clips", "5") == 0
    assert "Cannot tell which stage loses most" in capsys.readouterr().out
    found = json.loads((tmp_path / "few" / "report.json").read_text())
    assert "8 are enough" in found["not_computed"]
    assert found["stage"] is None
    assert all(rung["kernel_distance"] is None for rung in found["rungs"])
    assert found["rungs"][0]["multi_scale_mel_distance"]["low"] is None
    assert "not computed" in (tmp_path / "few" / "report.html").read_text()


def test_some_families_alone_are_asked(small_bundle, folder, tmp_path, capsys):
    whole = AudioFolder.scan(folder)
    counts = Counter(clip.family for clip in whole.split("test"))
    (first, _), (second, _) = counts.most_common(2)
    assert run(small_bundle, folder, tmp_path / "some", "--families", first, "--families", second) == 0
    found = json.loads((tmp_path / "some" / "report.json").read_text())
    assert found["clips"] == counts[first] + counts[second] < 12
    assert found["audio"] == f"{folder.name} ({', '.join(sorted((first, second)))})"
    assert found["floor_clips"] <= sum(clip.family in (first, second) for clip in whole.split("train"))


def test_bad_input_is_one_line(small_bundle, folder, tmp_path, capsys):
    out = tmp_path / "out"
    clicks = tmp_path / "clicks"
    clicks.mkdir()
    shutil.copy(folder / "click.wav", clicks)
    (clicks / "metadata.jsonl").write_text(json.dumps({"file_name": "click.wav", "text": "a", "split": "test"}))
    taken = tmp_path / "taken"
    taken.write_text("a file")
    cases = {
        "no clip of split 'validation'": (small_bundle, folder, out, "--split", "validation"),
        "clips: expected 0 or more": (small_bundle, folder, out, "--clips", "-1"),
        "seed: expected 0 or more": (small_bundle, folder, out, "--seed", "-1"),
        "has no 'gongs'": (small_bundle, folder, out, "--families", "gongs"),
        "embedder: expected one of": (small_bundle, folder, out, "--embedder", "ears"),
        "too short to be judged": (small_bundle, clicks, out),
        "bundle": (folder, folder, out),
        "cannot write into": (small_bundle, folder, taken),
    }
    for text, (model, audio, place, *more) in cases.items():
        assert run(model, audio, place, *more) == 2, text
        printed = capsys.readouterr()
        assert printed.out == ""
        assert text in printed.err
        assert len([line for line in printed.err.splitlines() if line.startswith("error:")]) == 1
        assert "Traceback" not in printed.err
    assert not out.exists()
