"""What steers the sampler reaches the sound, on the bundled model: nothing is passed over, orders are those told."""

import itertools
from typing import Any

import pytest
from torch import Tensor

from pipelines import TextToAudioPipeline
from pipelines.request import Request, jobs_of

# Of four steps dpmpp_2m would extrapolate in none: the first, the last, and the one where autoguidance sets in.
REQUEST: dict[str, Any] = {"prompts": ("a bright bell, C5", "a tight snare"), "seconds": 0.3, "seed": 3}
FEW, MANY = 5, 64
GUIDED = {"guidance_scale": 4.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "euler": {},
    "midpoint": {"solver": "midpoint"},
    "heun": {"solver": "heun"},
    "adaptive": {"solver": "adaptive", "tolerance": 0.05},
    "dpmpp_2m": {"solver": "dpmpp_2m"},
    "stochastic": {"solver": "stochastic", "eta": 0.3},
    "stochastic, more": {"solver": "stochastic", "eta": 0.8},
    "ancestral": {"solver": "ancestral"},
    "spacing": {"spacing": "quadratic"},
    "other spacing": {"spacing": "cosine"},
    "shift": {"shift": 2.0},
    "guided": GUIDED,
    "interval": {**GUIDED, "guidance_interval": (0.1, 0.7)},
    "rescale": {**GUIDED, "guidance_rescale": 0.5},
    "parallel": {**GUIDED, "guidance_parallel": 0.0},
    "no guidance": {"guidance_scale": 1.0},
    "autoguidance": {"autoguidance": 2.0},
    "other autoguidance": {"autoguidance": 2.0, "autoguidance_interval": (0.0, 1.0)},
    "no autoguidance": {"autoguidance": 1.0},
}
# Of the spread of latents: far above what rounding changes.
LEAST = 0.01


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def latents(pipeline: TextToAudioPipeline, **settings: Any) -> Tensor:
    """`(clips, channels, latent_frames)` of a request."""
    request = Request(**{"solver_steps": FEW, **REQUEST, **settings})
    settled = pipeline.settle(request)
    return pipeline.latents(jobs_of(request, settled), settled)


def apart(first: Tensor, second: Tensor) -> Tensor:
    """Root mean square of a difference, of each clip."""
    return (first - second).square().mean(dim=(1, 2)).sqrt()


def test_every_setting_makes_other_clips_of_the_same_noise(pipeline) -> None:
    made = {name: latents(pipeline, **words) for name, words in SETTINGS.items()}
    spread = made["euler"].std()
    for first, second in itertools.combinations(made, 2):
        assert (apart(made[first], made[second]) > LEAST * spread).all(), (first, second)


def test_names_of_the_same_solver_make_the_same_clips(pipeline) -> None:
    euler = latents(pipeline)
    for words in ({"solver": "ddim"}, {"solver": "stochastic", "eta": 0.0}):
        assert (apart(euler, latents(pipeline, **words)) < 1e-3).all()
    ancestral, full = latents(pipeline, solver="ancestral"), latents(pipeline, solver="stochastic", eta=1.0)
    assert (apart(ancestral, full) < 1e-3).all()


def test_solvers_of_second_order_come_nearer_in_as_many_steps(pipeline) -> None:
    # Autoguidance sets in at a time of its own, a jump that no order gets over.
    words = {"autoguidance": 1.0}
    reference = latents(pipeline, **words, solver_steps=MANY)
    off = {name: apart(latents(pipeline, **words, solver=name), reference) for name in ("euler", "midpoint", "heun")}
    for name in ("midpoint", "heun"):
        assert (off[name] < 0.7 * off["euler"]).all()
