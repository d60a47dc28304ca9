"""Text in, waveforms out: noise becomes latents, latents a log-mel, the log-mel sound.

    waveform = vocoder(decoder(unwhiten(ODE(noise; prompt, numbers))))

Clip i of seed K draws its noise from (K, i) on the CPU, so it is the same alone or in a batch, on any device.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.contract import convert_log_mel
from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.sampling import Seen
from pipelines.bundle import Bundle, Defaults
from pipelines.canvas import Canvas, open_canvas
from pipelines.compatibility import check_latents, check_vocoder
from pipelines.conditions import conditions_of
from pipelines.decoding import decoded
from pipelines.looping import loop_seconds
from pipelines.making import joined, outputs
from pipelines.morphing import job_noise
from pipelines.request import BATCH_CLIPS, AudioOutput, Job, Request
from pipelines.resources import DEFAULT_BUNDLE, loaded_from, resource
from pipelines.settling import LONGEST_LOOP_SECONDS, SHORTEST_SECONDS, settle, started_sampler
from pipelines.shaping import asked_of, clip_of, finish
from pipelines.styling import StyleReader
from pipelines.tuning import told_vocoder
from pipelines.turns import any_struck, latents_of_kinds, sound_of_kinds
from pipelines.words import request_of
from training.device import choose_device, choose_precision, in_precision
from vocoder.base import Vocoder, identity, licences_of
from vocoder.checked import decode_checked
from vocoder.loading import load_vocoder


class TextToAudioPipeline:
    """The three stages, checked and joined.

    Args:
        autoencoder: decodes latents.
        diffusion: makes latents.
        vocoder: anything with `mel` and `decode`.
        defaults: of seconds, guidance and solver.
        device: where to compute.
        precision: of matrix products: auto, float32 or bfloat16.
        licences: of what the model was made from.
        loaded: from where, by the names of `generate.py`.
        words: that it learnt sounds by, where they are known.

    Raises:
        ValueError: the stages do not belong together.
    """

    def __init__(
        self,
        autoencoder: MelVAE,
        diffusion: LatentDiffusion,
        vocoder: Vocoder,
        defaults: Defaults | None = None,
        device: str = "auto",
        precision: str = "auto",
        licences: Sequence[str] = (),
        loaded: dict[str, Any] | None = None,
        words: Collection[str] = (),
    ) -> None:
        check_latents(autoencoder, diffusion)
        check_vocoder(autoencoder.mel, vocoder.mel)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.autoencoder = autoencoder.to(self.device).eval()
        self.diffusion = diffusion.to(self.device).eval()
        self.vocoder = vocoder.to(self.device).eval() if isinstance(vocoder, nn.Module) else vocoder
        self.defaults = defaults or Defaults(max_seconds=diffusion.max_seconds)
        self.licences = tuple(licences)
        self.style = StyleReader(self.autoencoder, self.diffusion)
        self.loaded, self.words = loaded or {}, frozenset(words)

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str | None = None,
        vocoder: str | None = None,
        vocoder_arguments: dict[str, Any] | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> "TextToAudioPipeline":
        """Load a bundle; the default one when no path is given.

        Args:
            path: folder of the bundle.
            vocoder: a checkpoint or an import path that replaces the bundle's vocoder.
            vocoder_arguments: of the class named by an import path.
            device: auto, cpu, cuda or mps.
            precision: auto, float32 or bfloat16.

        Raises:
            ValueError: no bundle there, or a vocoder that does not fit.
        """
        bundle = Bundle.open(Path(path) if path is not None else resource(DEFAULT_BUNDLE))
        autoencoder = MelVAE.from_checkpoint(bundle.stage("autoencoder"))
        diffusion = LatentDiffusion.from_checkpoint(bundle.stage("latent_diffusion"))
        chosen = load_vocoder(vocoder or str(bundle.stage("vocoder")), autoencoder.mel, vocoder_arguments)
        licences = sorted({*bundle.licences, *licences_of(chosen)})
        loaded = loaded_from(model=path, vocoder=vocoder, vocoder_arguments=vocoder_arguments)
        return cls(autoencoder, diffusion, chosen, bundle.defaults, device, precision, licences, loaded, bundle.words)

    @classmethod
    def from_stages(
        cls,
        autoencoder: Path,
        diffusion: Path,
        vocoder: str,
        vocoder_arguments: dict[str, Any] | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> "TextToAudioPipeline":
        """Join three checkpoints, straight from training.

        Args:
            autoencoder: checkpoint of stage 1.
            diffusion: checkpoint of stage 2.
            vocoder: checkpoint of stage 3, or an import path.
            vocoder_arguments: of the class named by an import path.
            device: auto, cpu, cuda or mps.
            precision: auto, float32 or bfloat16.

        Raises:
            ValueError: a wrong file, or stages that do not belong together.
        """
        first = MelVAE.from_checkpoint(autoencoder)
        second = LatentDiffusion.from_checkpoint(diffusion)
        check_latents(first, second)
        third = load_vocoder(vocoder, first.mel, vocoder_arguments)
        loaded = loaded_from(autoencoder=autoencoder, diffusion=diffusion, vocoder=vocoder)
        loaded |= loaded_from(vocoder_arguments=vocoder_arguments)
        return cls(first, second, third, None, device, precision, licences_of(first, second, third), loaded)

    @property
    def sample_rate(self) -> int:
        """Of the clips, in Hz."""
        return self.autoencoder.mel.sample_rate

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the three stages; a vocoder without a record is named by its class and the fingerprint that it tells."""
        stages = {"autoencoder": self.autoencoder, "latent_diffusion": self.diffusion, "vocoder": self.vocoder}
        return {name: identity(stage) for name, stage in stages.items()}

    def __call__(
        self,
        prompts: str | Sequence[str],
        *,
        on_step: Callable[[int, int], None] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> AudioOutput:
        """Generate clips.

        Args:
            prompts: one prompt or several.
            on_step: called after every solver step of every batch.
            settings: the further fields of `Request`, or the options of `generate.py` under their own names.

        Raises:
            ValueError: a setting that there is not, or out of its range.
        """
        return self.run(request_of((prompts,) if isinstance(prompts, str) else prompts, settings), on_step)

    def run(self, request: Request, on_step: Callable[[int, int], None] | None = None) -> AudioOutput:
        """Generate what a request asks for; `pipelines.making.outputs` gives the clips as they are made."""
        return joined(list(outputs(self, request, on_step)))

    def canvas(self, settings: dict[str, Any]) -> Canvas | None:
        """What settled settings start from; see `pipelines.canvas.open_canvas`."""
        return open_canvas(settings, self.autoencoder, self.diffusion, self.vocoder)

    def one_of(self, jobs: Sequence[Job], row: int, settings: dict[str, Any]) -> AudioOutput:
        """Compute a batch, and give one clip of it; arguments as in `batch`."""
        canvas = self.canvas(settings)
        waveforms = self.batch(jobs, settings, None, canvas)
        return clip_of(waveforms, jobs, row, settings, self.autoencoder.mel, canvas)

    def run_jobs(
        self, jobs: Sequence[Job], request: Request, on_step: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Generate clips that differ in length and conditions, batch by batch; those of like length share a batch.

        Args:
            jobs: one for each clip.
            request: seed, guidance and solver of all of them; its prompts and numbers are not used.
            on_step: called after every solver step.

        Yields:
            the number of a job and its clip, `(samples,)` in [-1, 1].

        Raises:
            ValueError: a setting out of its range, or loops, which must be of one length.
        """
        if request.loop:
            raise ValueError("loop: a list of jobs is made of clips that end")
        order = sorted(range(len(jobs)), key=lambda number: jobs[number].seconds)
        longest = max((job.seconds for job in jobs), default=SHORTEST_SECONDS)
        settings = self.settle(replace(request, seconds=longest))
        for start in range(0, len(order), BATCH_CLIPS):
            part = order[start : start + BATCH_CLIPS]
            waveforms = self.batch([jobs[number] for number in part], settings, on_step)
            for number, waveform in zip(part, waveforms, strict=True):
                samples = round(jobs[number].seconds * self.sample_rate)
                own = waveform[None, :samples].clone()
                asked = asked_of(settings, [jobs[number]])
                yield number, finish(own, self.sample_rate, asked=asked).waveforms[0]

    def settle(self, request: Request) -> dict[str, Any]:
        """Fill in the defaults and refuse what cannot be done; see `pipelines.settling.settle`."""
        settings = settle(request, self.defaults, self.diffusion, self.precision)
        if settings["loop"]:
            settings["seconds"] = loop_seconds(
                settings["seconds"], self.autoencoder, self.vocoder, LONGEST_LOOP_SECONDS, settings["loop"] == "struck"
            )
        return settings

    @torch.inference_mode()
    def batch(
        self,
        jobs: Sequence[Job],
        settings: dict[str, Any],
        on_step: Callable[[int, int], None] | None = None,
        canvas: Canvas | None = None,
    ) -> Tensor:
        """Clips of a batch, unfinished, as long as the longest of them, `(clips, samples)`, on the CPU."""
        return self.sound(self.latents(jobs, settings, on_step, canvas), settings, jobs)

    @torch.inference_mode()
    def sound(self, latents: Tensor, settings: dict[str, Any], jobs: Sequence[Job] = ()) -> Tensor:
        """Raw latents of a batch to its clips, unfinished, `(clips, samples)`, on the CPU; jobs tell their notes."""
        if any_struck(jobs, settings):
            return sound_of_kinds(self, latents, jobs, settings)
        vocoder = told_vocoder(self.vocoder, jobs, settings)
        vocode = partial(self.vocode, vocoder=vocoder)
        frames = self.diffusion.window_frames
        return decoded(latents, self.autoencoder, vocoder, vocode, self.precision, bool(settings["loop"]), frames)

    @torch.inference_mode()
    def latents(
        self,
        jobs: Sequence[Job],
        settings: dict[str, Any],
        on_step: Callable[[int, int], None] | None = None,
        canvas: Canvas | None = None,
        watch: Seen | None = None,
    ) -> Tensor:
        """Raw latents `(clips, channels, latent_frames)` of a batch; beyond a clip's end, those of silence.

        Args:
            jobs: one for each clip.
            settings: from `settle`.
            on_step: called after every solver step.
            canvas: what to start from, of as many latent frames as the clips have.
            watch: told what the solver holds, and what the model takes it for.
        """
        if any_struck(jobs, settings):
            return latents_of_kinds(self, jobs, settings, on_step, watch)
        spec = self.diffusion.spec
        frames = [spec.num_latent_frames(job.seconds) for job in jobs]
        noise = torch.zeros(len(jobs), spec.channels, max(frames))
        for row, job in enumerate(jobs):
            noise[row, :, : frames[row]] = job_noise(job, settings, spec.channels, frames[row])
        start, kept, start_time = canvas.rows([job.place for job in jobs]) if canvas else (None, None, 0.0)
        if start is not None and start_time >= 1.0:
            return start
        with in_precision(self.device, self.precision):
            condition, negative = conditions_of(self.diffusion, jobs, settings, max(frames))
            sampler = started_sampler(settings, start_time)
            valid = None if min(frames) == max(frames) else torch.tensor(frames)
            given = (condition, sampler, valid, on_step, start, start_time, kept, negative)
            return self.diffusion.sample(
                noise.to(self.device), *given, bool(settings["loop"]), watch, self.style(settings)
            )

    def vocode(self, log_mel: Tensor, vocoder: Vocoder | None = None) -> Tensor:
        """Log-mel `(batch, n_mels, frames)` of the autoencoder's contract to `(batch, samples)`.

        No decoder is asked for less than its own floor: what the autoencoder paints below it is silence.

        Raises:
            ValueError: the vocoder fails, or answers with something else than finite samples of that shape.
        """
        log_mel = log_mel.clamp(min=self.autoencoder.mel.log_mel_floor)
        given = convert_log_mel(log_mel, self.autoencoder.mel, self.vocoder.mel)
        return decode_checked(vocoder or self.vocoder, given)
