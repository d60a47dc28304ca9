"""Real convolutions against torch's FFT, and ONNX Runtime against torch."""

import contextlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import read_audio
from audio.inversion import forward_stft, inverse_stft
from audio.mel import LogMelSpectrogram, MelConfig
from vocoder.export import main
from vocoder.griffin_lim import GriffinLim
from vocoder.onnx_file import Wire, example_mels, write_onnx
from vocoder.onnx_network import RealVocos, exportable
from vocoder.onnx_transforms import RealSTFT
from vocoder.vocos import PriorVocos, VocosConfig

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/export-to-onnx.md"
SAME = MelConfig(8000, 256, 256, 64, 20, 0.0, 4000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
CENTRED = replace(SAME, framing="centred")
SHORT_WINDOW = replace(SAME, win_length=192)
UNEVEN_HOP = replace(SAME, hop_length=60, framing="centred")
MELS = [SAME, CENTRED, SHORT_WINDOW, UNEVEN_HOP]
SMALL = VocosConfig(dim=16, intermediate_dim=16, num_layers=1, refinements=1, clock=(2, 4))
SIZES = [
    SMALL,
    replace(SMALL, refinements=0, clock=()),
    replace(SMALL, prior=False),
    replace(SMALL, attack=4, refinements=2, momentum=0.99),
    replace(SMALL, corrections=2),
    replace(SMALL, corrections=2, attack=4, refinements=2, momentum=0.99, ramp_bins=8),
]


def network(mel, config):
    torch.manual_seed(0)
    model = PriorVocos(mel, config).eval()
    if config.prior:
        torch.nn.init.normal_(model.head.out.weight, std=0.1)
    if model.attack:
        torch.nn.init.normal_(model.attack.last.weight, std=0.3)
    return model


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("samples", [1280, 3000])
def test_the_transforms_are_those_of_the_fft(mel, samples):
    transform, waveform = RealSTFT(mel), torch.randn(2, samples)
    kernel, expected = transform.kernel(), forward_stft(waveform, mel)
    real, imaginary = transform.forward_stft(waveform, kernel).chunk(2, dim=1)
    assert torch.allclose(torch.complex(real, imaginary), expected, atol=2e-4)
    # Of any spectrum, not only of one that a signal has.
    spectrum = torch.randn_like(expected)
    stacked = torch.cat([spectrum.real, spectrum.imag], dim=1)
    assert torch.allclose(transform.inverse_stft(stacked, kernel), inverse_stft(spectrum, mel), atol=1e-4)


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("frames", [2, 4, 50])
def test_a_network_of_real_operations_is_the_network(mel, size, frames):
    if not size.prior and mel is SHORT_WINDOW:
        return
    model, log_mel = network(mel, size), torch.randn(2, mel.n_mels, frames) - 3.0
    with torch.no_grad():
        came, expected = exportable(model)(log_mel), model.decode(log_mel)
    assert came.shape == expected.shape
    assert (came - expected).abs().max() < 1e-4


def session_of(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("mel", "size"), [(SAME, SMALL), (CENTRED, SIZES[2]), (SAME, SIZES[3]), (CENTRED, SIZES[3])])
def test_onnx_runtime_says_what_torch_says(mel, size, tmp_path):
    onnx = pytest.importorskip("onnx")
    model, out = network(mel, size), tmp_path / "vocoder.onnx"
    agreement = write_onnx(exportable(model), model.decode, Wire("log_mel", 2, example_mels(mel, 0.5)), {}, out)
    assert agreement.difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["vocoder.onnx"]
    session = session_of(out)
    for batch, frames in ((1, 2), (2, 3), (4, 31), (1, 400)):
        log_mel = torch.randn(batch, mel.n_mels, frames) - 3.0
        expected = model.decode(log_mel).numpy()
        (came,) = session.run(None, {"log_mel": log_mel.numpy()})
        assert came.shape == expected.shape
        assert np.abs(came - expected).max() < 1e-4
    kinds = {node.op_type for node in onnx.load(str(out)).graph.node}
    assert {"ConvTranspose"} <= kinds
    assert not kinds & {"DFT", "STFT", "Loop", "Scan"}


@pytest.fixture(scope="module")
def exported(stage_files, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The file that the command writes, and what it prints."""
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("onnx") / "vocoder.onnx"
    words = ["--checkpoint", str(stage_files["vocoder"]), "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(words) == 0
    return out, printed.getvalue()


def test_the_command_writes_what_it_checked(exported, stage_files, sonic_pi_folder: Path):
    out, printed = exported
    assert "largest difference from torch:" in printed
    assert "x the speed of torch" in printed
    session, model = session_of(out), PriorVocos.from_checkpoint(stage_files["vocoder"])
    notes = session.get_modelmeta().custom_metadata_map
    assert MelConfig.from_dict(json.loads(notes["melisma.mel"])) == model.mel
    assert json.loads(notes["melisma.fingerprint"]) == model.record.fingerprint
    assert json.loads(notes["melisma.licences"]) == ["CC-BY-3.0"]
    waveform, _ = read_audio(sonic_pi_folder / "bd_808.flac", model.mel.sample_rate)
    log_mel = LogMelSpectrogram(model.mel)(torch.from_numpy(waveform)[None])
    (came,) = session.run(None, {"log_mel": log_mel.numpy()})
    assert np.abs(came - model.decode(log_mel).numpy()).max() < 1e-4
    # The kernel of 2,050 x 2,048 numbers is made when the file is loaded, not stored in it.
    assert out.stat().st_size < 4 * sum(value.numel() for value in model.parameters()) + 2**20


def test_the_example_of_the_page_needs_no_torch(exported):
    """The page's own lines, in a program that has numpy and ONNX Runtime alone."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert 8 <= len([line for line in example.splitlines() if line]) <= 14
    code = "import sys; sys.modules['torch'] = None\n" + example
    folder = exported[0].parent
    child = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    waveform, rate = read_audio(folder / "sound.wav")
    assert rate == 44100
    assert np.abs(waveform).max() > 1e-3


class Loudness(torch.nn.Module):
    """The smallest thing that can be exported."""

    def forward(self, log_mel):
        return log_mel.exp().sum(dim=1)


@pytest.mark.parametrize("wrong", [2e-4, float("nan")])
def test_a_file_that_differs_is_not_left(wrong, tmp_path):
    pytest.importorskip("onnxscript")
    wire = Wire("log_mel", 2, example_mels(SAME, 0.3))
    with pytest.raises(ValueError, match="not written, ONNX Runtime differs from torch by"):
        write_onnx(Loudness().eval(), lambda mel: mel.exp().sum(dim=1) + wrong, wire, {}, tmp_path / "vocoder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said(stage_files, tmp_path, capsys, monkeypatch):
    with pytest.raises(ValueError, match="GriffinLim cannot be exported"):
        exportable(GriffinLim(SAME))
    assert isinstance(exportable(network(SAME, SMALL)), RealVocos)
    checkpoint = str(stage_files["vocoder"])
    assert main(["--checkpoint", checkpoint, "--out", str(tmp_path / "vocoder.pt")]) == 2
    assert "ends in .onnx, got 'vocoder.pt'" in capsys.readouterr().err
    monkeypatch.setattr("vocoder.export.write_onnx", lambda *_: pytest.fail("asked only after the export"))
    (tmp_path / "taken.onnx").mkdir()
    (tmp_path / "file").touch()
    for out, says in (("taken.onnx", "expected the name of a file"), ("file/new/v.onnx", "cannot write into '")):
        assert main(["--checkpoint", checkpoint, "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert f"out: {says}" in error
        assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"taken.onnx", "file"}
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["--checkpoint", checkpoint, "--out", str(tmp_path / "vocoder.onnx")]) == 2
    assert "onnxruntime: pip install 'melisma[export]'" in capsys.readouterr().err
