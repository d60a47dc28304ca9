"""What a search for copies found, before it becomes a report."""

from dataclasses import dataclass
from typing import Any

from audio.dataset import Clip
from evaluation.copies import PERCENTILE, CopyTest, Neighbour
from evaluation.intervals import Interval

EXPECTED = PERCENTILE / 100.0


@dataclass(frozen=True)
class Match:
    """A generated clip and the training clip nearest to it.

    Args:
        clip: the generated one.
        nearest: the training clip; None where nothing overlaps.
        neighbour: its distances.
        threshold: below which it is suspected; None where there is no test.
        relative: distance over the median null distance of its class; None with `threshold`.
        judged_by: the class, family or `all clips` whose real distances it was compared with.
    """

    clip: Clip
    nearest: Clip | None
    neighbour: Neighbour
    threshold: float | None = None
    relative: float | None = None
    judged_by: str = ""

    @property
    def suspected(self) -> bool:
        """Nearer than the line."""
        return self.threshold is not None and self.neighbour.distance < self.threshold


@dataclass(frozen=True)
class Shares:
    """How many clips lie below the line, by one distance.

    Args:
        generated: of the generated clips; None where there is no test.
        held_out: of the real held-out clips; None where there are none.
    """

    generated: Interval | None = None
    held_out: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for a report."""
        return {
            "share": self.generated.value if self.generated else None,
            "interval": [self.generated.low, self.generated.high] if self.generated else None,
            "held_out_share": self.held_out.value if self.held_out else None,
            "held_out_interval": [self.held_out.low, self.held_out.high] if self.held_out else None,
        }


@dataclass(frozen=True)
class Power:
    """How many copies the test would see: training clips given back by the model, put to the test.

    Args:
        clips: how many were.
        suspected: of them.
        share: the same with its interval.
        source_nearest: of how many the source itself was the nearest training clip.
        latent_noise: that was added, in deviations of the latents.
    """

    clips: int
    suspected: int
    share: Interval
    source_nearest: int
    latent_noise: float

    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        return (
            f"A model that gave back its training clips, with {self.latent_noise:.0%} noise in their latents, would be "
            f"suspected in {self.suspected} of {self.clips}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for a report."""
        return {
            "clips": self.clips,
            "suspected": self.suspected,
            "share": self.share.value,
            "interval": [self.share.low, self.share.high],
            "source_nearest": self.source_nearest,
            "latent_noise": self.latent_noise,
            "sentence": self.sentence(),
        }


@dataclass(frozen=True)
class Findings:
    """All that a report says.

    Args:
        facts: model or folder, training folder, embedder, its fingerprint, seed and numbers of clips.
        matches: of the generated clips, the nearest for its class first.
        shares: by the aligned log-mel.
        embedding_shares: by the embedding alone.
        test: what the real clips taught; None where they are too few.
        held_out_ratios: distance of real held-out clips over the median null distance of their class.
        reason: why nothing was computed.
        power: of the test; None where no model is there to give clips back.
    """

    facts: dict[str, Any]
    matches: tuple[Match, ...]
    shares: Shares = Shares()
    embedding_shares: Shares = Shares()
    test: CopyTest | None = None
    held_out_ratios: tuple[float, ...] = ()
    reason: str = ""
    power: Power | None = None

    @property
    def suspects(self) -> tuple[Match, ...]:
        """The generated clips below the line, nearest first."""
        return tuple(match for match in self.matches if match.suspected)

    def sentence(self) -> str:
        """What it comes to; a share that is no more than chance says nothing without the power beside it."""
        share, held_out = self.shares.generated, self.shares.held_out
        if share is None:
            return f"Not computed: {self.reason}."
        floor = max(EXPECTED, held_out.value if held_out else 0.0)
        said = (
            f"{share.value:.1%} of {len(self.matches)} generated clips lie nearer to a training clip than real clips do"
        )
        if share.low is not None and share.low > floor:
            return f"{said}: more than the {floor:.1%} that chance gives. Listen to the suspects."
        missed = f" {self.power.sentence()}" if self.power else ""
        return f"{said}: no more than chance would give ({floor:.1%}).{missed}"
