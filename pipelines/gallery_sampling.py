"""The gallery's modes that steer the sampler: the same noise, walked and guided otherwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from pipelines.gallery_maker import Gallery, Sound

PROMPT = "a bright bell, C5"
# So few that ways of solving differ to the eye.
FEW = 6
SHOWN_SOLVERS = ("euler", "midpoint", "heun", "adaptive", "dpmpp_2m", "ddim", "stochastic", "ancestral")


def bell(shown: Gallery, **settings: Any) -> Tensor:  # noqa: ANN401
    """The clip that all of these make, `(samples,)`."""
    return shown.one(PROMPT, **{"seconds": 1.0, **settings})


def title(words: Mapping[str, Any], plain: str) -> str:
    """The options that settings are on the command line; `plain` where there are none."""
    spans = {key: ":".join(f"{end:g}" for end in value) for key, value in words.items() if isinstance(value, tuple)}
    return "\n".join(f"--{key} {value}" for key, value in {**words, **spans}.items()) or plain


def scale(shown: Gallery) -> Iterator[Sound]:
    """The same noise under less and more guidance."""
    for value in (1.0, 3.0, 8.0):
        yield f"--guidance_scale {value:g}", bell(shown, guidance_scale=value)


def solvers(shown: Gallery) -> Iterator[Sound]:
    """The same noise by every solver, in few steps; adaptive takes as many as it needs."""
    known = shown.pipeline.diffusion.solver_names()
    for name in (one for one in SHOWN_SOLVERS if one in known):
        yield f"--solver {name}", bell(shown, solver=name, solver_steps=FEW)


def eta(shown: Gallery) -> Iterator[Sound]:
    """The same noise, and more and more that is fresh."""
    for value in (0.0, 0.3, 0.6, 1.0):
        yield f"--solver stochastic\n--eta {value:g}", bell(shown, solver="stochastic", eta=value)


def times(shown: Gallery) -> Iterator[Sound]:
    """The same noise in few steps, which lie elsewhere."""
    ways: tuple[dict[str, Any], ...] = ({}, {"spacing": "quadratic"}, {"spacing": "cosine"}, {"shift": 3.0})
    for words in ways:
        yield title(words, f"--solver_steps {FEW}"), bell(shown, solver_steps=FEW, **words)


def guidance(shown: Gallery) -> Iterator[Sound]:
    """What a large scale overdoes, and three remedies."""
    remedies: tuple[dict[str, Any], ...] = (
        {},
        {"guidance_interval": (0.1, 0.6)},
        {"guidance_rescale": 0.7},
        {"guidance_parallel": 0.0},
    )
    for words in remedies:
        yield title(words, "--guidance_scale 6"), bell(shown, guidance_scale=6.0, **words)


def autoguidance(shown: Gallery) -> Iterator[Sound]:
    """The same noise, led further and further away from what a weaker model makes, where the model holds one."""
    values = (1.0, 1.3, 1.5, 2.0) if shown.pipeline.diffusion.guide is not None else ()
    for value in values:
        yield f"--autoguidance {value:g}", bell(shown, autoguidance=value)
