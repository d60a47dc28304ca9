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
            expected = pipeline.vocode(pipeline.autoencoder.decode(part)).numpy()
            (came,) = session.run(None, {"latents": part.numpy()})
            assert came.shape == expected.shape
            assert np.abs(came - expected).max() < 1e-4
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["melisma.licences"]) == list(pipeline.licences)
    own = {kind: name for kind, name in pipeline.fingerprints.items() if kind != "latent_diffusion"}
    assert json.loads(notes["melisma.fingerprints"]) == own
