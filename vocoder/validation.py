"""How a vocoder in training is judged: whole clips, one at a time, beside Griffin-Lim, over the minutes it has learned.

Two clocks run while it learns and stand still while it is judged: seconds that have passed, and seconds of the
processor, by which runs on a busy machine are compared (`vocoder.curves`).
"""

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from audio.mel import LogMelSpectrogram, MelConfig
from training.players import PlayersTraining
from training.previews import log_audio, log_mel_images
from training.schedule import OptimiserConfig, ScheduleConfig
from vocoder.generator import KIND, Generator
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import clip_and_mel, judge, long_enough


class JudgedTraining(PlayersTraining):
    """The part of `VocoderTraining` that listens.

    Args:
        mel: the contract.
        optimiser: of the vocoder.
        schedule: of the learning rates.
        init_from: where to start.
        preview_clips: validation clips whose sound and mels are logged.
    """

    kind = KIND
    monitor = "validation/mel_distance"
    metrics = ("validation/mel_distance", "validation/ratio_to_griffin_lim")
    model: Generator

    def __init__(
        self,
        mel: MelConfig,
        optimiser: OptimiserConfig,
        schedule: ScheduleConfig,
        init_from: Path | None,
        preview_clips: int,
    ) -> None:
        super().__init__(optimiser, schedule, init_from)
        self.front_end = LogMelSpectrogram(mel)
        self.griffin_lim = GriffinLim(mel)
        self.preview_clips = preview_clips
        self.cpu_seconds_done = 0.0
        self._last_cpu_tick = 0.0
        self._baseline: dict[tuple[int, int], float] = {}
        self._judged: list[tuple[float, float]] = []

    def on_train_start(self) -> None:
        """Start both clocks."""
        super().on_train_start()
        self._last_cpu_tick = time.process_time()

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Tensor], batch_idx: int) -> None:  # noqa: ANN401
        """Count processor seconds too: on a busy machine they alone compare runs."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        now = time.process_time()
        self.cpu_seconds_done += now - self._last_cpu_tick
        self._last_cpu_tick = now

    def on_validation_end(self) -> None:
        """Both clocks leave validation out."""
        self._last_tick, self._last_cpu_tick = time.monotonic(), time.process_time()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Processor seconds go on as well."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["progress"]["cpu_seconds_done"] = self.cpu_seconds_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the run stopped."""
        super().on_load_checkpoint(checkpoint)
        self.cpu_seconds_done = float(checkpoint["progress"].get("cpu_seconds_done", self.seconds_done))

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._judged = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Judge whole clips one at a time; Griffin-Lim's part is done once a run."""
        for row, (waveform, valid) in enumerate(zip(batch["waveform"], batch["valid_samples"].tolist(), strict=True)):
            if not long_enough(valid, self.model.mel):
                continue
            if "log_mel" in batch:
                target, log_mel = _given_pair(waveform[:valid], batch["log_mel"][row], self.model.mel)
            else:
                target, log_mel = clip_and_mel(waveform[:valid], self.front_end)
            decoded = judge(self.model, log_mel, target)
            key = (batch_idx, row)
            sounds = {"vocoder": decoded.waveform}
            if key not in self._baseline and not self.trainer.sanity_checking:
                baseline = judge(self.griffin_lim, log_mel, target)
                self._baseline[key] = baseline.distance
                sounds |= {"griffin_lim": baseline.waveform, "original": target}
            if len(self._judged) < self.preview_clips and not self.trainer.sanity_checking:
                _preview(self, str(len(self._judged)), sounds)
            self._judged.append((decoded.distance, self._baseline.get(key, float("nan"))))

    def on_validation_epoch_end(self) -> None:
        """Mean distances over the clips, and their ratio."""
        if not self._judged:
            raise ValueError("validation: no clip is long enough to be judged (0.1 s)")
        ours, theirs = (sum(values) / len(self._judged) for values in zip(*self._judged, strict=True))
        self.log("validation/mel_distance", ours)
        if not self.trainer.sanity_checking:
            self.log("validation/griffin_lim_distance", theirs)
            self.log("validation/ratio_to_griffin_lim", ours / theirs)
            self.log("validation/minutes", self.seconds_done / 60.0)
            self.log("validation/cpu_minutes", self.cpu_seconds_done / 60.0)


def _given_pair(waveform: Tensor, log_mel: Tensor, mel: MelConfig) -> tuple[Tensor, Tensor]:
    """Target and input of a judgement where the data bring the mel, of a clip that was normalised before."""
    # No gain here: added to a log-mel it would lift the cells on the floor too, and make noise of silence.
    frames = mel.num_frames(len(waveform))
    return waveform[None, : mel.num_samples(frames)], log_mel[None, :, :frames].float()


def _preview(module: JudgedTraining, clip: str, sounds: dict[str, Tensor]) -> None:
    """Log the sounds made of one clip, `(1, samples)` each, and what their mels look like."""
    for name, waveform in sounds.items():
        log_audio(module, f"{clip}/{name}", waveform[0], module.model.mel.sample_rate)
        log_mel_images(module, {f"{clip}/{name}": module.front_end(waveform)})
