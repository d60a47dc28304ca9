"""The yardstick's command: what it prints, and how it refuses."""

import math
import re

import pytest
import torch

from audio.dataset import AudioFolder
from audio.distances import multi_scale_mel_distance, normalise_peak
from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from training.checkpoint import StageRecord, save_stage
from training.command import run_command
from vocoder.evaluate import compare, evaluate
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import clip_and_mel, judge, long_enough
from vocoder.vocos import PriorVocos, VocosConfig


@pytest.fixture(scope="module")
def vocoder(mel):
    torch.manual_seed(0)
    return PriorVocos(mel, VocosConfig(dim=16, intermediate_dim=32, num_layers=1)).eval()


@pytest.fixture(scope="module")
def checkpoint(vocoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "v.safetensors"
    save_stage(path, StageRecord("vocoder", vocoder.to_config()), vocoder.state_dict(), torch.float32)
    return path


@pytest.fixture(scope="module")
def folder(sonic_pi_folder, tmp_path_factory):
    """Three short real clips, and one too short to be judged."""
    path = tmp_path_factory.mktemp("clips")
    for name in ("bd_808", "elec_blip", "drum_snare_hard"):
        waveform, rate = read_audio(sonic_pi_folder / f"{name}.flac", seconds=0.3)
        write_audio(path / f"{name}.wav", 0.5 * waveform, rate)
    write_audio(path / "tick.wav", waveform[: round(0.035 * rate)], rate)
    return path


def test_a_comparison_is_the_yardstick_on_the_whole_clip(vocoder, folder):
    clips = AudioFolder.scan(folder).clips
    found = compare(vocoder, clips, torch.device("cpu"))
    assert [item.clip.path.stem for item in found] == ["bd_808", "drum_snare_hard", "elec_blip"]
    waveform, _ = read_audio(clips[0].path, vocoder.mel.sample_rate)
    clip = normalise_peak(torch.from_numpy(waveform)[None])
    log_mel = LogMelSpectrogram(vocoder.mel)(clip)
    for index, decoder in enumerate((vocoder, GriffinLim(vocoder.mel))):
        decoded = decoder.decode(log_mel)
        expected = multi_scale_mel_distance(decoded, clip[:, : decoded.shape[1]], vocoder.mel.sample_rate)
        assert found[0].distances[index] == pytest.approx(float(expected), rel=1e-5)
        assert found[0].times[index] > 0.0


def test_peak_does_not_matter(vocoder, folder):
    waveform, _ = read_audio(folder / "bd_808.wav", vocoder.mel.sample_rate)
    front_end = LogMelSpectrogram(vocoder.mel)
    loud, quiet = (clip_and_mel(torch.from_numpy(waveform) * gain, front_end) for gain in (1.0, 0.1))
    assert judge(vocoder, loud[1], loud[0]).distance == pytest.approx(judge(vocoder, quiet[1], quiet[0]).distance, 1e-3)


def test_the_command_prints_both_and_their_ratio(checkpoint, folder, capsys):
    options = ["--checkpoint", str(checkpoint), "--audio", str(folder), "--split", "train"]
    assert run_command(evaluate, options) == 0
    text = capsys.readouterr().out
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    means = [float(re.findall(r"\d+\.\d+", rows[name])[0]) for name in ("vocoder", "griffin-lim (64 iterations)")]
    ratio = float(re.search(r"ratio of means (\S+),", text)[1])
    assert ratio == pytest.approx(means[0] / means[1], abs=2e-3)
    assert "times faster" in text
    assert "receptive field" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--checkpoint", "no.ckpt"], "'no.ckpt' does not exist"),
        (["--split", "tets"], "split"),
        (["--clips", "-1"], "expected 0 or more"),
        (["--audio", "no_such_folder"], "no_such_folder"),
        (["--device", "tpu"], "device"),
        (["--klips", "3"], "klips"),
    ],
)
def test_refused_in_one_line(checkpoint, folder, capsys, options, says):
    defaults = ["--checkpoint", str(checkpoint), "--audio", str(folder), "--split", "train"]
    assert run_command(evaluate, [*defaults, *options]) == 2
    found = capsys.readouterr().err.strip()
    assert says in found
    assert "\n" not in found


def test_an_empty_split_is_refused(checkpoint, folder, capsys):
    (folder / "metadata.jsonl").write_text('{"file_name": "bd_808.wav", "text": "x", "split": "validation"}\n')
    try:
        assert run_command(evaluate, ["--checkpoint", str(checkpoint), "--audio", str(folder)]) == 2
    finally:
        (folder / "metadata.jsonl").unlink()
    assert "no clip of split 'test'" in capsys.readouterr().err


def test_shortest_clip(mel):
    shortest = next(samples for samples in range(1, 9000) if long_enough(samples, mel))
    assert mel.num_samples(mel.num_frames(shortest)) >= 2048
    assert math.isfinite(float(LogMelSpectrogram(mel)(torch.zeros(1, shortest)).mean()))
