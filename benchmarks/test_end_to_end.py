"""From a prompt to waveforms with the bundled model: what is spent beside the transformer's own work."""

from pathlib import Path

import pytest
import torch

from benchmarks.conftest import ROOT, Bench, Work
from latent_diffusion.conditioning import Condition
from pipelines import TextToAudioPipeline

BUNDLE = ROOT / "bundles/oneshots"
GROUP = "end to end, the bundled model with its own settings"
PROMPT = "a deep punchy kick drum"


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline | None:
    return TextToAudioPipeline.from_pretrained(Path(BUNDLE)) if (BUNDLE / "bundle.json").is_file() else None


def bare_forwards(pipeline: TextToAudioPipeline, clips: int) -> Work:
    """The questions that the solver asks the network, and nothing else: conditioned and not, once a solver step."""
    diffusion, defaults = pipeline.diffusion, pipeline.defaults
    frames = diffusion.spec.num_latent_frames(defaults.seconds)
    latents = torch.randn(2 * clips, diffusion.spec.channels, frames, device=diffusion.device)
    asked = diffusion.encode_conditions([PROMPT] * clips, [None] * clips, [{}] * clips)
    condition = Condition.join(asked, diffusion.null_condition(clips))
    time = torch.full((2 * clips,), 0.5, device=diffusion.device)
    questions = defaults.solver_steps * (1 if defaults.solver in ("euler", "ddim", "ancestral") else 2)

    @torch.inference_mode()
    def run() -> None:
        for _ in range(questions):
            diffusion(latents, time, condition)

    return run


@pytest.mark.parametrize("clips", [1, 8])
def test_clips(clips: int, bench: Bench, pipeline: TextToAudioPipeline | None) -> None:
    name = f"{clips} clip{'s' if clips > 1 else ''} of one prompt"
    if pipeline is None:
        bench.skip(GROUP, name, "bundles/oneshots is not there")
    else:
        rounds = bench.measure(
            lambda: pipeline(PROMPT, num_clips=clips, seed=0),
            {"forwards": bare_forwards(pipeline, clips)},
            rounds=5,
        )
        bench.report(
            GROUP,
            name,
            rounds.seconds,
            f"{clips * pipeline.defaults.seconds / rounds.seconds:.1f} x real time",
            f"{rounds.cost('forwards'):.2f} x the transformer's forwards alone",
        )
