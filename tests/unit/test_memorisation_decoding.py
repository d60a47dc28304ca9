"""Clips as a model gives them back: kept by content and weights, cut and faded as generated ones, noisy as copies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.dataset import Clip
from audio.files import audio_seconds, read_audio, write_audio
from pipelines.bundle import Defaults
from pipelines.memorisation_decoding import ClipDecoder
from pipelines.text_to_audio import TextToAudioPipeline

RATE = 44100


@pytest.fixture(scope="module")
def pipeline(small_bundle: Path) -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(small_bundle)


def _clip(path: Path, seconds: float, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    samples = 0.3 * rng.standard_normal(round(seconds * RATE)) * np.exp(-np.arange(round(seconds * RATE)) / 8000)
    write_audio(path, samples.astype(np.float32), RATE)
    return Clip(path, ("a hit",), seconds, -20.0, 1000.0, label="hit", recording=path.stem)


def test_a_clip_is_decoded_once_and_known_by_its_content(
    pipeline: TextToAudioPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    decoder = ClipDecoder(pipeline, tmp_path / "cache")
    clips = [_clip(tmp_path / f"{n}.wav", 0.4, seed) for n, seed in enumerate((0, 1, 0))]
    paths = decoder.of_clips(clips)
    assert paths[0] == paths[2] != paths[1]
    assert "decoding 2 real clips" in capsys.readouterr().err
    times = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    made = []
    decode = decoder.decode
    monkeypatch.setattr(decoder, "decode", lambda clip: (made.append(clip.path), decode(clip))[1])
    assert decoder.of_clips(clips) == paths
    assert set(made) == {clips[1].path}
    assert paths[0].stat().st_mtime_ns == times[0]
    made.clear()
    assert decoder.of_clips(clips) == paths
    assert made == []


def test_a_decoded_clip_is_as_long_as_the_clip_or_as_the_model_makes(pipeline: TextToAudioPipeline, tmp_path: Path):
    decoder = ClipDecoder(pipeline, tmp_path / "cache")
    for seconds in (0.03, 0.5, 1.2345):
        waveform = decoder.decode(_clip(tmp_path / "clip.wav", seconds))
        assert len(waveform) == round(seconds * RATE)
        assert abs(waveform[-1]) < 1e-6
        assert np.abs(waveform).max() <= 1.0
    longest = pipeline.defaults.max_seconds
    long = _clip(tmp_path / "long.wav", longest + 1.0)
    assert len(decoder.decode(long)) == round(longest * RATE)
    planted = decoder.plant([long], tmp_path / "back", seed=0)
    assert planted.sources == (long,)
    assert planted.clips[0] == replace(long, path=tmp_path / "back" / "00000.flac", seconds=longest)
    assert audio_seconds(planted.clips[0].path) == pytest.approx(longest)


def test_what_is_decoded_is_the_mean_of_the_posterior(pipeline: TextToAudioPipeline, tmp_path: Path):
    """Whole steps of silence behind a clip, and the chain of three stages by hand."""
    clip = _clip(tmp_path / "clip.wav", 0.5)
    decoder = ClipDecoder(pipeline, tmp_path / "cache")
    padded = torch.zeros(1, round(1.0 * RATE))
    padded[0, : RATE // 2] = torch.from_numpy(read_audio(clip.path)[0])
    with torch.inference_mode():
        mean = pipeline.autoencoder.encode(decoder.front_end(padded)).mean
        wanted = pipeline.sound(mean, {"loop": False})[0, : RATE // 2].numpy()
    fade = round(0.01 * RATE)
    scale = min(1.0, 0.99 / np.abs(wanted).max())
    assert np.allclose(decoder.decode(clip)[:-fade], scale * wanted[:-fade], atol=1e-5)


def test_a_copy_is_the_decoded_clip_but_for_its_noise(
    pipeline: TextToAudioPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clip = _clip(tmp_path / "clip.wav", 0.5)
    decoder = ClipDecoder(pipeline, tmp_path / "cache")
    plain, copy = decoder.decode(clip), decoder.copy(clip, 0, seed=1, noise=0.1)
    assert np.array_equal(copy, decoder.copy(clip, 0, seed=1, noise=0.1))
    assert not np.allclose(copy, decoder.copy(clip, 1, seed=1, noise=0.1), atol=1e-3)
    assert not np.allclose(copy, plain, atol=1e-3)
    # A posterior without spread and no white noise: the decoded clip itself.
    encode = pipeline.autoencoder.encode
    sharp = lambda log_mel: replace(encode(log_mel), log_variance=torch.full((), -60.0))  # noqa: E731
    monkeypatch.setattr(pipeline.autoencoder, "encode", sharp)
    assert np.allclose(decoder.copy(clip, 0, seed=1, noise=0.0), plain, atol=1e-4)


def test_the_diffusion_model_has_no_part_in_the_key(pipeline: TextToAudioPipeline, monkeypatch: pytest.MonkeyPatch):
    key = ClipDecoder(pipeline).key
    names = pipeline.fingerprints

    def other(stage: str) -> str:
        changed = property(lambda _: names | {stage: "another"})
        monkeypatch.setattr(TextToAudioPipeline, "fingerprints", changed)
        return ClipDecoder(pipeline).key

    assert other("latent_diffusion") == key
    assert len({key, other("autoencoder"), other("vocoder")}) == 3
    monkeypatch.undo()
    monkeypatch.setattr(pipeline, "defaults", Defaults(max_seconds=1.0))
    assert ClipDecoder(pipeline).key != key
