"""A Vocos that starts from what the mel already says: the pseudo-inverse magnitude is its prior.

    log M    = log max(pinv(filterbank) exp(log_mel), floor) + r(log_mel)      r zero at initialisation
    S        = M exp(i (p(log_mel) + pi k))                                    bin k = 0 … n_fft / 2
    R        = STFT(ISTFT(S)),   A = R - m / (1 + m) R_before                  `refinements` times, momentum m
    S        <- M A / sqrt(|A|^2 + (softness M)^2)
    waveform = ISTFT(S)                                                        in the mel's own framing
    waveform <- ISTFT(gain(R, log_mel) R)                                      `corrections` times

`r` and `p` are two halves of one linear layer on a ConvNeXt backbone (Siuzdak, "Vocos: Closing the gap between
time-domain and Fourier-based neural vocoders", 2023; the prior after Lv et al., "FreeV: Free lunch for vocoders
through pseudo inversed mel filter", Interspeech 2024). The term `pi k` puts zero phase into the middle of a frame,
where the window is, instead of its edge.

A refinement is one projection of Griffin-Lim inside the network, trained through: neighbouring frames agree on a
phase. Momentum makes few of them go as far as more would (Perraudin, Balazs, Sondergaard, "A fast Griffin-Lim
algorithm", 2013). Its softness bounds how far a bin in which they cancel, whose angle is rounding noise, is blown up;
a clip then sounds the same in any batch.

A correction measures the mel of what came out so far and moves it towards the one that was asked for
(`vocoder.correction`).

Of the lowest bins, `p` is a ramp wherever the sound is steady: each bin turns as fast as its partial says
(`vocoder.ramp`), so that low notes have a pitch. Around attacks it is the network's, which puts them where they belong.
A vocoder that is told a clip's note (`PriorVocos.told`) takes the note's harmonics for the partials, where it is low.

The clock tells the network time modulo a few frames. Without it a stationary mel gives every frame the same phase,
which is a sound that repeats every hop and has its pitches on multiples of the frame rate; with a period of P frames
they lie P times as dense. Norms see one frame and nothing attends, so a sample depends on `receptive_field()` frames
and no more, and moving a mel by a multiple of `frame_alignment` frames moves its sound.

Last comes a gain many times a frame, where `attack` asks for one (`vocoder.attack`): it sharpens attacks.

With `prior: false` it is the vocos package's backbone and head with nothing added, weight for weight.
"""

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from audio.inversion import forward_stft, inverse_stft, overlap_envelope, pseudo_inverse_magnitude
from audio.mel import MelConfig
from training.checkpoint import StageRecord
from vocoder.attack import AttackGain
from vocoder.correction import correction_gains
from vocoder.generator import Generator
from vocoder.ramp import fundamentals, phase_ramp, steady_frames

EMBEDDING_KERNEL = 7
# Roughly zero mean and unit variance for log-mels of music, where the floor is at -11.5.
LOG_MEL_MEAN, LOG_MEL_STD = -5.0, 3.0
# Of the wanted magnitude: where a rebuilt bin is smaller, its angle is not trusted with all of it.
SOFTNESS = 0.1
TINY_POWER = 1e-20


@dataclass(frozen=True)
class VocosConfig:
    """The network's size.

    Args:
        dim: channels of the backbone.
        intermediate_dim: channels inside a ConvNeXt block.
        num_layers: ConvNeXt blocks; each adds three frames to the receptive field on either side.
        prior: add the pseudo-inverse magnitude; false is plain Vocos.
        refinements: projections of Griffin-Lim after the network; only with the prior.
        momentum: of the refinements; 0 is the plain algorithm, 0.99 the fast one.
        corrections: how often, at the end, the sound is moved towards the mel that was asked for; only with the prior.
        clock: periods, in frames, of the sines and cosines of time that are fed beside the mel; only with the prior.
        dropout: of the backbone's features, before the head.
        magnitude_floor: of the prior, in units of an STFT magnitude (a full-scale sine is n_fft / 4). It must lie below
            what the mel's own floor lets through (2e-4 for bigvgan_44khz), or it drowns the quiet bins.
        attack: gains a frame, a divisor of the hop; 0 has none.
        ramp_bins: how many of the lowest bins have phases that follow their partials where the sound is steady; only
            with the prior and a clock, whose common period they share.

    Raises:
        ValueError: a number out of its range.
    """

    dim: int = 256
    intermediate_dim: int = 768
    num_layers: int = 8
    prior: bool = True
    refinements: int = 2
    momentum: float = 0.0
    corrections: int = 0
    clock: tuple[int, ...] = (2, 4, 8, 16)
    dropout: float = 0.0
    magnitude_floor: float = 1e-4
    attack: int = 0
    ramp_bins: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("dim", "intermediate_dim", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"VocosConfig.{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.refinements <= 16:
            raise ValueError(f"VocosConfig.refinements: expected 0 to 16, got {self.refinements}")
        if not 0 <= self.corrections <= 16 or (self.corrections and not self.prior):
            raise ValueError(f"VocosConfig.corrections: expected 0 to 16, 0 without a prior, got {self.corrections}")
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"VocosConfig.momentum: expected 0 to less than 1, got {self.momentum}")
        object.__setattr__(self, "clock", tuple(self.clock))
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"VocosConfig.dropout: expected 0 to 1, got {self.dropout}")
        if any(period < 2 for period in self.clock):
            raise ValueError(f"VocosConfig.clock: expected periods of at least 2 frames, got {self.clock}")
        if self.attack < 0 or (self.attack and not self.prior):
            raise ValueError(
                f"VocosConfig.attack: expected 0, or gains a frame of a network with prior: true, got {self.attack}"
            )
        if self.ramp_bins < 0 or (self.ramp_bins and not (self.prior and self.clock)):
            raise ValueError(
                "VocosConfig.ramp_bins: expected 0, or bins of a network with prior: true and a clock, "
                f"got {self.ramp_bins}"
            )
        if not 0.0 < self.magnitude_floor < 1.0:
            raise ValueError(f"VocosConfig.magnitude_floor: expected 0 to 1, got {self.magnitude_floor}")


class PriorHead(nn.Module):
    """Backbone features and the log prior to a waveform.

    Args:
        size: of the network.
        mel: gives transform, window, hop and framing.
    """

    signs: Tensor

    def __init__(self, size: VocosConfig, mel: MelConfig) -> None:
        super().__init__()
        self.mel = mel
        self.refinements, self.corrections = size.refinements, size.corrections
        self.pull = size.momentum / (1.0 + size.momentum)
        self.ramp_bins = size.ramp_bins
        self.period = math.lcm(*size.clock)
        bins = mel.n_fft // 2 + 1
        if size.ramp_bins >= bins:
            raise ValueError(
                f"VocosConfig.ramp_bins: this mel has {bins - 1} bins below its highest, got {size.ramp_bins}"
            )
        self.out = nn.Linear(size.dim, 2 * bins)
        with torch.no_grad():
            self.out.weight[:bins].zero_()
            self.out.bias[:bins].zero_()
        self.register_buffer("signs", 1.0 - 2.0 * (torch.arange(bins) % 2)[None, :, None], persistent=False)
        # No sound within [-1, 1] reaches this magnitude; the bound keeps a young network finite.
        self.log_ceiling = math.log(mel.n_fft)

    def forward(self, features: Tensor, log_prior: Tensor, log_mel: Tensor, notes: Tensor | None = None) -> Tensor:
        """Make sound.

        Args:
            features: `(batch, frames, dim)`.
            log_prior: `(batch, n_fft // 2 + 1, frames)`.
            log_mel: `(batch, n_mels, frames)`, which corrections hold the sound against.
            notes: MIDI numbers `(batch,)` where they are known, NaN where one is not.

        Returns:
            waveform `(batch, mel.num_samples(frames))`.
        """
        magnitude, phase = self.polar(features, log_prior, notes)
        signed = magnitude * self.signs
        envelope = overlap_envelope(magnitude.shape[-1], self.mel, magnitude.device)
        waveform = inverse_stft(torch.complex(signed * phase.cos(), signed * phase.sin()), self.mel, envelope)
        # A clip shorter than its own reflected edges has no STFT; it is left as it is.
        if waveform.shape[1] < self.mel.minimum_samples:
            return waveform
        softness = (SOFTNESS * magnitude).square() + TINY_POWER
        before: Tensor | None = None
        for _ in range(self.refinements):
            rebuilt = forward_stft(waveform, self.mel)
            # One pass: a complex tensor times a number, on its own, costs more than both transforms.
            angle = rebuilt if before is None or not self.pull else rebuilt.sub(before, alpha=self.pull)
            real, imaginary = angle.real, angle.imag
            gain = real.square().add_(imaginary.square()).add_(softness).rsqrt_() * magnitude
            # Part by part: beside a complex tensor the gain would first be written out as complex numbers.
            waveform = inverse_stft(torch.complex(real * gain, imaginary * gain), self.mel, envelope)
            before = rebuilt
        for _ in range(self.corrections):
            rebuilt = forward_stft(waveform, self.mel)
            real, imaginary = rebuilt.real, rebuilt.imag
            gain = correction_gains(real.square().add_(imaginary.square()), log_mel, self.mel)
            waveform = inverse_stft(torch.complex(real * gain, imaginary * gain), self.mel, envelope)
        return waveform

    def polar(self, features: Tensor, log_prior: Tensor, notes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Magnitude, and phase without the term `pi k`, both `(batch, n_fft // 2 + 1, frames)`."""
        residual, phase = self.out(features).float().transpose(1, 2).chunk(2, dim=1)
        if self.ramp_bins:
            low = log_prior[:, : self.ramp_bins + 1]
            fundamental = None if notes is None else fundamentals(notes, self.mel.sample_rate / self.mel.n_fft)
            ramp = phase_ramp(low, self.mel.hop_length / self.mel.n_fft, self.period, fundamental)
            low_phase = torch.where(steady_frames(low), ramp, phase[:, : self.ramp_bins])
            phase = torch.cat([low_phase, phase[:, self.ramp_bins :]], dim=1)
        return (log_prior + residual).clamp(max=self.log_ceiling).exp(), phase


class PriorVocos(Generator):
    """The project's vocoder.

    Args:
        mel: the contract it decodes.
        config: its size.
        record: of the checkpoint it came from.
    """

    def __init__(self, mel: MelConfig, config: VocosConfig | None = None, record: StageRecord | None = None) -> None:
        super().__init__(mel, record)
        # Here and nowhere else: the package pulls encodec and huggingface_hub, a tenth of a second at start-up.
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        self.config = config or VocosConfig()
        self.notes: Tensor | None = None
        size = self.config
        inputs = mel.n_mels + (2 * len(size.clock) if size.prior else 0)
        self.backbone = VocosBackbone(inputs, size.dim, size.intermediate_dim, size.num_layers)
        self.dropout = nn.Dropout(size.dropout)
        self.attack = AttackGain(mel, size.attack) if size.attack else None
        if size.prior:
            self.head: nn.Module = PriorHead(size, mel)
            return
        if mel.win_length != mel.n_fft:
            raise ValueError(
                f"prior: false needs a mel whose win_length is its n_fft, got {mel.win_length} and {mel.n_fft}"
            )
        padding = "center" if mel.framing == "centred" else "same"
        self.head = ISTFTHead(size.dim, mel.n_fft, mel.hop_length, padding)

    @classmethod
    def from_config(cls, config: dict[str, Any], record: StageRecord | None = None) -> "PriorVocos":
        """Build the network that `to_config` described, with fresh weights."""
        return cls(MelConfig.from_dict(config["mel"]), VocosConfig(**config["network"]), record)

    def to_config(self) -> dict[str, Any]:
        """Mel and network as plain containers, the `config` of a stage record."""
        network = asdict(self.config)
        return {"mel": self.mel.to_dict(), "network": {**network, "clock": list(self.config.clock)}}

    def receptive_field(self) -> int:
        """Frames on which one sample of the output depends.

        Each kernel of seven frames reaches three to either side. A sample lies under the windows of
        w = ceil(n_fft / hop_length) frames; each refinement or correction lets each of
        them hear w - 1 frames to either side.
        """
        windows = -(-self.mel.n_fft // self.mel.hop_length)
        reach = (EMBEDDING_KERNEL // 2) * (1 + self.config.num_layers)
        if self.config.prior:
            reach += (self.config.refinements + self.config.corrections) * (windows - 1)
        attack = 2 * self.attack.reach + 1 if self.attack else 0
        return max(2 * reach + windows, attack)

    @property
    def frame_alignment(self) -> int:
        """A window cut out of a longer mel decodes alike where it begins at a multiple of this many frames."""
        return math.lcm(*self.config.clock) if self.config.prior else 1

    def told(self, notes: Tensor) -> "PriorVocos":
        """The same vocoder for clips whose MIDI notes `(batch,)` are known, NaN where a clip has none (ADR 26)."""
        if not self.config.ramp_bins:
            return self
        other = copy.copy(self)
        other.notes = notes
        return other

    def forward(self, log_mel: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of `(batch, n_mels, frames)`, unchecked and differentiable."""
        if not self.config.prior:
            plain: Tensor = self.head(self.dropout(self.backbone(log_mel)))
            return plain
        with torch.autocast(log_mel.device.type, enabled=False):
            prior = pseudo_inverse_magnitude(log_mel, self.mel).clamp(min=self.config.magnitude_floor)
        normalised = (log_mel - LOG_MEL_MEAN) / LOG_MEL_STD
        features = self.dropout(self.backbone(self._with_clock(normalised)))
        if self.notes is not None and len(self.notes) != len(log_mel):
            raise ValueError(f"told: expected a note for each of {len(log_mel)} clips, got {len(self.notes)}")
        waveform: Tensor = self.head(features, prior.log(), log_mel, self.notes)
        return waveform if self.attack is None else waveform * self.attack(log_mel, normalised)

    def _with_clock(self, normalised: Tensor) -> Tensor:
        """Channels of the clock below those of the mel."""
        if not self.config.clock:
            return normalised
        batch, _, frames = normalised.shape
        # Whole turns are taken off first, so that a long clip's clock is as exact as a short one's.
        time = torch.arange(frames, device=normalised.device)
        angles = torch.stack([(time % period) * (2.0 * math.pi / period) for period in self.config.clock])
        hands = torch.cat([angles.cos(), angles.sin()]).to(normalised.dtype)
        return torch.cat([normalised, hands.expand(batch, -1, -1)], dim=1)
