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


# More than before: what encoding and widening hold at once, in pieces and whole.
PARTS = """
import sys
from pathlib import Path
import torch
from autoencoder.model import MelVAE
from pipelines import encoding, stereo
from pipelines.bundle import Bundle
from pipelines.process_memory import peak_mib, start_mib
from pipelines.resources import DEFAULT_BUNDLE, resource

autoencoder = MelVAE.from_checkpoint(Bundle.open(resource(DEFAULT_BUNDLE)).stage("autoencoder"))
mono = torch.rand(1, 110 * 44_100)
parts = (
    (encoding, "WHOLE_SECONDS", lambda: encoding.encoded(Path(sys.argv[1]), autoencoder)),
    (stereo, "PIECE_SECONDS", lambda: stereo.widen(mono, 44_100, 0.5)),
)
with torch.inference_mode():
    for module, longest, make in parts:
        for seconds in (getattr(module, longest), 1e9):
            setattr(module, longest, seconds)
            before = start_mib()
            make()
            print(peak_mib() - before)
"""


def long_source(seconds: int, folder: Path, tmp_path: Path) -> Path:
    """A recording again and again, in stereo and of another rate."""
    path = tmp_path / f"{seconds}.wav"
    drone = np.resize(read_audio(folder / "ambi_drone.flac", 48_000)[0], seconds * 48_000)
    write_audio(path, np.stack([drone, drone]), 48_000)
    return path


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
def test_a_long_source_and_two_channels_are_never_computed_whole(sonic_pi_folder, tmp_path) -> None:
    source = long_source(110, sonic_pi_folder, tmp_path)
    done = subprocess.run([sys.executable, "-c", PARTS, str(source)], capture_output=True, cwd=ROOT, check=True)
    encoded, encoded_whole, widened, widened_whole = (float(line) for line in done.stdout.split())
    assert encoded_whole > encoded + 64.0
    assert widened_whole > widened + 64.0
    # Its samples alone would be 20 MiB, and those of its two channels 40.
    assert encoded < 100.0
    assert widened < 2.0 * clip_mib(110) + 32.0


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told reliably by Linux alone")
def test_a_longer_stream_needs_none(tmp_path) -> None:
    short, long = (peak(seconds, tmp_path, "--stream", "pcm") for seconds in (40, 75))
    assert long - short < 32.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes_need_memory_for_themselves_alone(sonic_pi_folder, tmp_path) -> None:
    short, long = (peak(seconds, tmp_path) for seconds in (60, 600))
    assert long - short < 2.0 * clip_mib(540) + 32.0
    streamed = [peak(seconds, tmp_path, "--stream", "pcm") for seconds in (60, 600)]
    assert streamed[1] - streamed[0] < 32.0
    sources = [(seconds, long_source(seconds, sonic_pi_folder, tmp_path)) for seconds in (60, 600)]
    edited = [peak(seconds, tmp_path, "--init_audio", str(path), "--mask", "20:21") for seconds, path in sources]
    assert edited[1] - edited[0] < 3.0 * clip_mib(540) + 32.0
