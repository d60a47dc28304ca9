"""`pipelines.stream` and `pipelines.export_decoder` as a user runs them, on real sound."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from autoencoder.model import MelVAE
from pipelines.export_decoder import main as export_decoder
from pipelines.resources import DEFAULT_BUNDLE, resource
from pipelines.stream import main as stream
from pipelines.text_to_audio import TextToAudioPipeline
from vocoder.loading import load_vocoder


@pytest.fixture(scope="module")
def recording(sonic_pi_folder: Path) -> Path:
    return sonic_pi_folder / "drum_cymbal_open.flac"


@pytest.mark.parametrize("through_latents", [False, True])
def test_a_file_is_streamed_as_it_is_decoded_whole(
    through_latents, small_bundle: Path, recording: Path, tmp_path: Path, capsys
):
    out = tmp_path / "new" / "out.wav"
    words = ["--model", str(small_bundle), "--audio", str(recording), "--out", str(out)]
    assert stream([*words, "--through_latents", str(through_latents).lower(), "--chunk_seconds", "0.07"]) == 0
    vae = MelVAE.from_checkpoint(small_bundle / "autoencoder.safetensors")
    vocoder = load_vocoder(str(small_bundle / "vocoder.safetensors"), None)
    source, rate = read_audio(recording, vae.mel.sample_rate)
    log_mel = LogMelSpectrogram(vae.mel)(torch.from_numpy(source)[None])
    if through_latents:
        with torch.no_grad():
            log_mel = vae.decode(vae.encode(log_mel).mean)[..., : log_mel.shape[2]]
    expected = vocoder.decode(log_mel.clamp(min=vae.mel.log_mel_floor))[0].clamp(-1.0, 1.0).numpy()
    came, written_rate = read_audio(out)
    assert written_rate == rate
    assert len(came) == len(expected)
    # Sixteen bits have steps of 3e-5.
    assert np.abs(came - expected).max() < 1.5e-4
    printed = capsys.readouterr().out
    first, heard = map(float, re.search(r"first sound: ([\d.]+) s .* began, ([\d.]+) s of them", printed).groups())
    delay = float(re.search(r"algorithmic delay: (\d+) ms", printed)[1])
    assert first > heard >= delay / 1e3
    # A chunk, and the block for which the links wait, come on top of the delay.
    assert heard <= delay / 1e3 + 0.07 + 4 * 8 * 512 / 44100
    assert "real-time factor" in printed
    assert "peak memory" in printed


def test_what_cannot_be_streamed_is_one_line(small_bundle: Path, recording: Path, tmp_path: Path, capsys):
    out, broken, empty = tmp_path / "out.wav", tmp_path / "broken.wav", tmp_path / "short.wav"
    broken.write_bytes(b"RIFF no sound")
    write_audio(empty, np.zeros(100, dtype=np.float32), 44100)
    good = {"--model": str(small_bundle), "--audio": str(recording), "--out": str(out)}
    for change, says in (
        ({"--vocoder": "vocoder.griffin_lim.GriffinLim"}, "cannot be streamed: it has no receptive_field"),
        ({"--audio": str(broken)}, "not a readable sound file"),
        ({"--audio": str(empty)}, "expected at least"),
        ({"--chunk_seconds": "0"}, "chunk_seconds: expected more than 0 and at most 60, got 0"),
        ({"--block_frames": "0"}, "block_frames: expected at least 1, got 0"),
        ({"--out": str(tmp_path / "out.mp3")}, "ends in .wav, .flac or .ogg, got 'out.mp3'"),
        ({"--model": str(tmp_path)}, "is not a bundle"),
    ):
        assert stream([word for pair in {**good, **change}.items() for word in pair]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.wav", "short.wav"]


REPEATER = """
import torch
from audio.mel import MelConfig

class Repeater:
    def __init__(self, mel: MelConfig, gain: float = 1.0, share: float = 1.0) -> None:
        self.mel, self.gain, self.share = mel, gain, share

    def receptive_field(self) -> int:
        return 1

    def decode(self, log_mel):
        samples = round(self.share * self.mel.hop_length)
        return self.gain * log_mel.exp().mean(dim=1).repeat_interleave(samples, dim=1)
"""


def test_a_vocoder_takes_arguments(small_bundle: Path, recording: Path, tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "streamed_repeater.py").write_text(REPEATER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["--model", str(small_bundle), "--audio", str(recording)]
    foreign = ["--vocoder", "streamed_repeater.Repeater"]
    sounds = []
    for number, gain in enumerate(["0.01", "0.02"]):
        out = tmp_path / f"{number}.wav"
        assert stream([*words, *foreign, "--out", str(out), "--vocoder.gain", gain]) == 0
        sounds.append(read_audio(out)[0])
    assert np.abs(sounds[0]).max() > 1e-3
    assert np.abs(sounds[1] - 2.0 * sounds[0]).max() < 1e-4
    capsys.readouterr()
    out = tmp_path / "none.wav"
    for more, says in (
        ([*foreign, "--vocoder.share=0.5"], "vocoder 'Repeater': expected a waveform of shape"),
        ([*foreign, "--vocoder.share=2"], "vocoder 'Repeater': expected a waveform of shape"),
        ([*foreign, "--vocoder.colour", "red"], "has no argument 'colour'"),
        ([*foreign, "--vocoder.gain"], "--vocoder.gain: expected a value"),
        (["--vocoder.gain", "2"], "--vocoder.gain: only goes with --vocoder IMPORT.PATH"),
    ):
        assert stream([*words, "--out", str(out), *more]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
        assert not out.exists()


@pytest.fixture(scope="module")
def decoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model's decoder."""
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("onnx") / "decoder.onnx"
    assert export_decoder(["--model", str(resource(DEFAULT_BUNDLE)), "--out", str(out)]) == 0
    return out


def test_the_bundled_decoder_in_onnx_runtime(decoder_file: Path, recording: Path):
    import onnxruntime

    pipeline = TextToAudioPipeline.from_pretrained(device="cpu", precision="float32")
    session = onnxruntime.InferenceSession(str(decoder_file), providers=["CPUExecutionProvider"])
    waveform, _ = read_audio(recording, pipeline.sample_rate, seconds=1.5)
    log_mel = LogMelSpectrogram(pipeline.autoencoder.mel)(torch.from_numpy(waveform)[None])
    with torch.inference_mode():
        latents = pipeline.autoencoder.encode(log_mel).mean
        for batch, frames in ((1, 1), (2, 9), (1, latents.shape[2])):
            part = latents[..., :frames].repeat(batch, 1, 1)
            expected = pipeline.sound(part, {"loop": False}).numpy()
            (came,) = session.run(None, {"latents": part.numpy()})
            assert came.shape == expected.shape
            assert np.abs(came - expected).max() < 1e-4
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["melisma.licences"]) == list(pipeline.licences)
    own = {kind: name for kind, name in pipeline.fingerprints.items() if kind != "latent_diffusion"}
    assert json.loads(notes["melisma.fingerprints"]) == own
