"""What the modes of the gallery are made with: a model, a recording, a seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio.files import read_audio
from pipelines.text_to_audio import TextToAudioPipeline

Sound = tuple[str, Tensor]
"""A title and a clip, `(samples,)`."""


@dataclass(frozen=True)
class Gallery:
    """Makes the sounds of every mode.

    Args:
        pipeline: of the model.
        source: a recording.
        prompt: what it could be called.
        seed: of everything.
        solver_steps: of the solver; the bundle's when None.
    """

    pipeline: TextToAudioPipeline
    source: Path
    prompt: str
    seed: int
    solver_steps: int | None

    def made(self, *prompts: str, **settings: Any) -> Tensor:  # noqa: ANN401
        """Clips of a request, `(clips, samples)`."""
        return self.pipeline(prompts, seed=self.seed, **{"solver_steps": self.solver_steps, **settings}).waveforms

    def one(self, *prompts: str, **settings: Any) -> Tensor:  # noqa: ANN401
        """The only clip of a request, `(samples,)`."""
        return self.made(*prompts, **settings)[0]

    def real(self) -> Tensor:
        """The recording itself."""
        return torch.from_numpy(read_audio(self.source, self.pipeline.sample_rate)[0])
