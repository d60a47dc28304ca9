"""Memory does not grow with the length of a clip, but for the clip itself: measured in processes of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audio.files import read_audio, write_audio

ROOT = Path(__file__).resolve().parents[2]
PEAK = """
import sys
import torch
from pipelines import decoding
from pipelines.generate import main
from pipelines.process_memory import peak_mib

if sys.argv[1] == "whole":
    decoding.decode_long = lambda latents, autoencoder, vocoder: decoding.decode_clip(
        latents, autoencoder, vocoder.decode, torch.float32
    )
code = main(sys.argv[2:])
print("peak", peak_mib(), file=sys.stderr)
sys.exit(code)
"""


def peak(seconds: float, tmp_path: Path, *options: str, decoded: str = "in pieces") -> float:
    """The most memory that a run held, in MiB."""
    words = ["--seed", "1", "--device", "cpu", "--solver_steps", "1", "--guidance_scale", "1", *options]
    if "--init_audio" not in options:
        words += ["--prompt", "a warm synth pad", "--seconds", str(seconds)]
    if "--stream" not in options:
        words += ["--plot", "false", "--out", str(tmp_path / str(seconds))]
    done = subprocess.run([sys.executable, "-c", PEAK, decoded, *words], capture_output=True, cwd=ROOT, check=False)
    told = done.stderr.decode()
    assert done.returncode == 0, told
    return float(next(line.split()[1] for line in told.splitlines() if line.startswith("peak ")))


def clip_mib(seconds: float) -> float:
    """Of its samples in float32."""
    return seconds * 44_100 * 4 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told reliably by Linux alone")
def test_a_longer_clip_needs_memory_for_itself_alone(tmp_path) -> None:
    short, long = (peak(seconds, tmp_path) for seconds in (50, 110))
    assert long - short < 2.0 * clip_mib(60) + 32.0
    # The shorter one alone would need more than the longer one if it were decoded as a whole.
    assert peak(50, tmp_path, decoded="whole") > long + 100.0


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told reliably by Linux alone")
def test_a_longer_source_and_two_channels_need_memory_for_the_clip_alone(sonic_pi_folder, tmp_path) -> None:
    """A hole is filled in recordings in stereo and of another rate, and made wide."""

    def edited(seconds: int) -> float:
        source = tmp_path / f"{seconds}.wav"
        drone = np.resize(read_audio(sonic_pi_folder / "ambi_drone.flac", 48_000)[0], seconds * 48_000)
        write_audio(source, np.stack([drone, drone]), 48_000)
        return peak(seconds, tmp_path, "--init_audio", str(source), "--mask", "20:21", "--stereo", "0.5")

    short, long = (edited(seconds) for seconds in (50, 110))
    # One channel that is widened, the two, and what is written of them.
    assert long - short < 5.0 * clip_mib(60) + 32.0


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told reliably by Linux alone")
def test_a_longer_stream_needs_none(tmp_path) -> None:
    short, long = (peak(seconds, tmp_path, "--stream", "pcm") for seconds in (40, 75))
    assert long - short < 32.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes_need_memory_for_themselves_alone(tmp_path) -> None:
    short, long = (peak(seconds, tmp_path) for seconds in (60, 600))
    assert long - short < 2.0 * clip_mib(540) + 32.0
    streamed = [peak(seconds, tmp_path, "--stream", "pcm") for seconds in (60, 600)]
    assert streamed[1] - streamed[0] < 32.0
