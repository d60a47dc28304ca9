"""The diffusion stage as one object: conditions in, noise in, latents out.

Whitening is done at this door: the network works on latents of zero mean and unit variance, the world outside on raw
ones. Nothing here is random: noise comes from the caller, and the same noise gives the same latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.latents import LatentSpec
from latent_diffusion.conditioning import Condition, Conditioner, ConditionInputs
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.flow import frame_mask, gaussian_prediction, mix
from latent_diffusion.guidance import ConditionedField, Mixture, Prediction, guided_field
from latent_diffusion.known import known_frames, split_known, told_field
from latent_diffusion.network import DiffusionTransformer
from latent_diffusion.preconditioning import Preconditioner
from latent_diffusion.sampling import (
    Held,
    SamplerConfig,
    Seen,
    check_shapes,
    integrate,
    watched_field,
)
from latent_diffusion.solvers import SOLVERS, OnStep
from latent_diffusion.style import Style, styled_field
from latent_diffusion.text import text_encoder
from latent_diffusion.windows import line_margin, looped_field, windowed_field
from training.checkpoint import StageRecord, load_stage, load_weights

KIND = "latent_diffusion"
# Latent frames of each end that a loop sees beyond the other.
LOOP_MARGIN = 8


class LatentDiffusion(nn.Module):
    """Network, conditioners and preconditioner; where there is a guiding model, the same of it as `guide`.

    Args:
        config: everything.
    """

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.record: StageRecord | None = None
        self.network = DiffusionTransformer(config.latents.channels, config.network)
        self.conditioner = Conditioner(config.conditioning, config.network.width)
        self.preconditioner = Preconditioner(config.latents.channels)
        of_guide = config.of_guide()
        self.guide = None if of_guide is None else LatentDiffusion(of_guide)

    @classmethod
    def from_checkpoint(cls, path: Path) -> "LatentDiffusion":
        """Load a trained stage, ready to use.

        Raises:
            ValueError: the file is not a diffusion stage of this project.
        """
        record, weights = load_stage(path, KIND)
        stage = cls(LatentDiffusionConfig.from_dict(record.config))
        load_weights(stage, weights, path)
        stage.record = record
        return stage.eval()

    @property
    def spec(self) -> LatentSpec:
        """What its latents mean."""
        return self.config.latents

    @property
    def max_seconds(self) -> float:
        """Longest total length it was trained on."""
        return self.config.max_seconds

    @property
    def window_frames(self) -> int:
        """Latent frames that it sees at once; what is longer is made of windows."""
        return self.spec.num_latent_frames(self.max_seconds)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.network.output.weight.device

    def to_config(self) -> dict[str, Any]:
        """Plain containers from which `from_checkpoint` builds the stage again."""
        return self.config.to_dict()

    def solver_names(self) -> tuple[str, ...]:
        """The solvers that fit this stage's path; the first is the default."""
        return SOLVERS[self.config.path.name]

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        condition: Condition,
        mask: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """The prediction at whitened x_t: the best linear one, and what the network adds to it.

        Args:
            latents: x_t, `(batch, channels, latent_frames)`.
            time: `(batch,)`, 0 noise, 1 data.
            condition: of each row.
            mask: `(batch, latent_frames)`, True where a frame is part of its row; None where all are.
            known: of `known.known_frames`; None where no frame is known beforehand.

        Returns:
            velocity, noise or v, float32, the shape of `latents`; frames beyond a row's end mean nothing.
        """
        precondition = self.preconditioner
        rotated = precondition.rotate(latents)
        scale, share, spread = gaussian_prediction(
            precondition.variance, time, self.config.path, self.config.prediction
        )
        if known is not None:
            data, flag = known[:, : self.spec.channels], known[:, self.spec.channels :]
            known = torch.cat([precondition.rotate(data) / precondition.variance.sqrt()[:, None], flag], dim=1)
        added: Tensor = self.network(rotated / scale, time, condition, mask, known)
        return precondition.rotate_back(share * rotated + spread * added.float())

    @torch.no_grad()
    def encode_conditions(
        self,
        prompts: Sequence[str],
        labels: Sequence[str | None],
        numbers: Sequence[Mapping[str, float]],
        word_offset: Tensor | None = None,
    ) -> Condition:
        """Turn what a user asks for into a condition.

        Args:
            prompts: one text a row.
            labels: one a row, None for none.
            numbers: one mapping a row: pitch (MIDI note), loudness (dBFS), brightness (Hz), seconds; what is absent
                is left to the model.
            word_offset: added to what every word of a row says, at unit power, `(rows, text_width)`: the same words
                meant otherwise.

        Raises:
            ValueError: lists of different lengths, an unknown label, a number out of range.
        """
        if not len(prompts) == len(labels) == len(numbers) or not prompts:
            raise ValueError(
                "conditions: expected one prompt, label and mapping of numbers a row, "
                f"got {len(prompts)}, {len(labels)}, {len(numbers)}"
            )
        conditioning = self.config.conditioning
        indices = [conditioning.label_index(label) for label in labels]
        rows = [conditioning.number_row(row) for row in numbers]
        text, mask = text_encoder(conditioning.text_encoder).encode(prompts)
        if word_offset is not None:
            # Unit power, as the conditioner has it at its door.
            text = nn.functional.rms_norm(text.float(), text.shape[-1:]) + word_offset[:, None]
        # An empty prompt says nothing.
        mask = mask & torch.tensor([bool(prompt.strip()) for prompt in prompts])[:, None]
        inputs = ConditionInputs(
            text=text.to(self.device, torch.float32),
            text_mask=mask.to(self.device),
            labels=torch.tensor(indices, device=self.device),
            numbers=torch.tensor(rows, dtype=torch.float32, device=self.device),
        )
        condition: Condition = self.conditioner(inputs)
        return condition if self.guide is None else replace(condition, for_guide=self.guide.conditioner(inputs))

    @torch.no_grad()
    def null_condition(self, batch: int) -> Condition:
        """The condition that says nothing, for `batch` rows."""
        inputs = ConditionInputs.nothing(batch, self.config.conditioning.text_width, self.device)
        condition: Condition = self.conditioner(inputs)
        return condition

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        condition: Condition | Mixture,
        sampler: SamplerConfig = SamplerConfig(),  # noqa: B008 (frozen)
        valid_frames: Tensor | None = None,
        on_step: OnStep | None = None,
        start: Tensor | None = None,
        start_time: float = 0.0,
        kept: Tensor | None = None,
        negative: Condition | None = None,
        loop: bool = False,
        watch: Seen | None = None,
        style: Style | None = None,
        after: int = 0,
    ) -> Tensor:
        """Make latents out of noise, or out of given ones from somewhere on the way, or around what is kept of them.

        Args:
            noise: standard normal, `(batch, channels, latent_frames)`, float32.
            condition: of each row, or several with weights.
            sampler: solver, times and guidance.
            valid_frames: frames of each row, `(batch,)`; all when left out.
            on_step: told after each step how many are done, of how many.
            start: raw latents, as many as noise; they are mixed with it as the path has them at `start_time`, and the
                steps lead from there to 1.
            start_time: 0 is noise alone; only with `start`.
            kept: `(batch, latent_frames)`, until which time the latents of `start` are held: 1 or True where they come
                out as they went in, 0 or False where they are not; between, they are let go on the way.
            negative: what is not wanted, of each row; nothing when left out.
            loop: the last frame leads into the first; only where all rows are of one length.
            watch: told time, noisy latents and the guess of the data, both raw, whenever the network is asked.
            style: a sound that all rows are drawn towards.
            after: latent frames that are to follow; only where all rows are of one length.

        Returns:
            raw latents of the same shape; beyond a row's valid frames, those of silence.

        Raises:
            ValueError: shapes that do not fit, or a solver that does not fit the path.
        """
        check_shapes(self.spec, noise, len(condition), valid_frames, start, kept)
        if start is None and (start_time or kept is not None):
            raise ValueError("start_time and kept need latents to start from, got no start")
        if valid_frames is not None and (loop or after or noise.shape[-1] > self.window_frames):
            raise ValueError("loops and windows: expected rows of one length, got valid_frames")
        solver = self._fitting_solver(sampler.solver)
        noise = noise.to(self.device)
        given = None if start is None else self.spec.whiten(start.to(noise))
        mask = None
        if valid_frames is not None:
            valid_frames = valid_frames.to(self.device)
            mask = frame_mask(valid_frames, noise.shape[-1])
            noise = noise * mask[:, None]
        prediction = Prediction(self.config.path, self.config.prediction)
        negative = negative or self.null_condition(len(condition))
        # What is let go on the way is not known.
        told = None if given is None or kept is None else known_frames(given, kept.to(self.device) >= 1.0)
        network, *weaker = (
            stage._told(stage.whole_field(loop, after) if mask is None else stage._masked(mask), told)
            for stage in (self, self.guide)
            if stage is not None
        )
        field = guided_field(network, condition, negative, sampler.guidance, prediction, mask, *weaker)
        if style is not None:
            field = styled_field(field, style, prediction, mask)
        if watch is not None:
            unwhiten = self.spec.unwhiten
            field = watched_field(field, prediction, lambda time, x, data: watch(time, unwhiten(x), unwhiten(data)))
        first, held = noise, None
        if given is not None:
            first = mix(given, noise, torch.tensor(start_time, device=noise.device), self.config.path)
            held = Held(given, kept.to(noise), noise, prediction) if kept is not None else None
        whitened = integrate(sampler, solver, field, first, prediction, start_time, valid_frames, on_step, held)
        latents = self.spec.unwhiten(whitened)
        if mask is None:
            return latents
        silence = torch.tensor(self.spec.silence, device=latents.device)[:, None]
        return torch.where(mask[:, None], latents, silence)

    def whole_field(self, loop: bool, after: int = 0) -> ConditionedField:
        """The network on whitened rows of one length, which may be longer than what it sees at once.

        Args:
            loop: the last frame leads into the first.
            after: latent frames that follow.
        """
        if loop:
            return looped_field(self._masked(None), self.window_frames, min(LOOP_MARGIN, self.window_frames // 4))
        return windowed_field(self._masked(None), self.window_frames, line_margin(self.window_frames), after)

    def _told(self, network: ConditionedField, known: Tensor | None) -> ConditionedField:
        """The same told which frames are known, where it understands that."""
        return network if known is None or not self.config.network.known else told_field(network, known)

    def _masked(self, mask: Tensor | None) -> ConditionedField:
        """The network as a function of noisy latents, time and condition, for any number of copies of the rows."""

        def conditioned(latents: Tensor, time: Tensor, own: Condition) -> Tensor:
            own_mask = None if mask is None else mask.repeat(len(latents) // len(mask), 1)
            noisy, known = split_known(latents, self.spec.channels)
            predicted: Tensor = self(noisy, time, own, own_mask, known)
            return predicted.float()

        return conditioned

    def _fitting_solver(self, solver: str | None) -> str:
        fitting = self.solver_names()
        if solver is None:
            return fitting[0]
        if solver not in fitting:
            raise ValueError(
                f"solver: path '{self.config.path.name}' of this model takes {', '.join(fitting)}, got {solver!r}"
            )
        return solver
