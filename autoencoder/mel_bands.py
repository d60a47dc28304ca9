"""Where in the spectrum an autoencoder errs: decoded log-mels against real ones, by mel band and by family.

Every clip weighs alike, as in `autoencoder.evaluate`: the mean over all bins is that command's number.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audio.mel import MelConfig
from evaluation.pictures import bin_centres

Array = NDArray[np.float64]

EDGES_HZ = (200, 500, 1000, 2000, 4000, 8000, 12000)


@dataclass(frozen=True)
class MelBand:
    """Neighbouring mel bins.

    Args:
        name: such as "1 kHz to 2 kHz".
        bins: the first, and the one after the last.
    """

    name: str
    bins: slice


def mel_bands(mel: MelConfig) -> list[MelBand]:
    """The bins of a mel by their centres, split at `EDGES_HZ`; a band without a bin is left out."""
    numbers = np.searchsorted(EDGES_HZ, np.maximum.accumulate(bin_centres(mel)), side="right")
    found = sorted({int(number) for number in numbers})
    bands = []
    for number in found:
        low, high = _hertz(EDGES_HZ[number - 1]) if number else "", _hertz(EDGES_HZ[min(number, len(EDGES_HZ) - 1)])
        name = f"below {high}" if not number else f"above {low}" if number == found[-1] else f"{low} to {high}"
        first, last = np.flatnonzero(numbers == number)[[0, -1]]
        bands.append(MelBand(name, slice(int(first), int(last) + 1)))
    return bands


def _hertz(frequency: int) -> str:
    return f"{frequency} Hz" if frequency < 1000 else f"{frequency / 1000:g} kHz"


@dataclass
class FamilyErrors:
    """Sums over the clips of a family: mean absolute and mean signed error by mel bin, in nats."""

    clips: int
    absolute: Array
    signed: Array


@dataclass
class BandErrors:
    """Errors of reconstruction, taken in clip by clip.

    Args:
        mel: contract of the log-mels.
    """

    mel: MelConfig
    families: dict[str, FamilyErrors] = field(default_factory=dict)

    def add(self, family: str, estimate: NDArray[np.float32], target: NDArray[np.float32]) -> float:
        """Take in a clip without padding.

        Args:
            family: of the clip.
            estimate: decoded log-mel `(n_mels, frames)`, in nats.
            target: the real one, the same shape.

        Returns:
            its mean absolute error, in nats.

        Raises:
            ValueError: other shapes.
        """
        if estimate.shape != target.shape or target.ndim != 2 or len(target) != self.mel.n_mels:
            raise ValueError(
                f"estimate, target: expected two of ({self.mel.n_mels}, frames), got {estimate.shape}, {target.shape}"
            )
        difference = estimate.astype(np.float64) - target
        sums = self.families.setdefault(family, FamilyErrors(0, np.zeros(self.mel.n_mels), np.zeros(self.mel.n_mels)))
        absolute = np.abs(difference).mean(axis=1)
        sums.clips += 1
        sums.absolute += absolute
        sums.signed += difference.mean(axis=1)
        return float(absolute.mean())

    @property
    def clips(self) -> int:
        """How many were taken in."""
        return sum(sums.clips for sums in self.families.values())

    def by_bin(self) -> Array:
        """Mean absolute error of every mel bin, in nats."""
        return np.asarray(sum(sums.absolute for sums in self.families.values()) / self.clips)

    def bias_by_bin(self) -> Array:
        """Mean of decoded minus real, in nats: below 0 where the decoder is too quiet."""
        return np.asarray(sum(sums.signed for sums in self.families.values()) / self.clips)

    def by_band(self) -> dict[str, float]:
        """Mean absolute error of every band, in nats."""
        return self._bands(self.by_bin())

    def bias_by_band(self) -> dict[str, float]:
        """Mean of decoded minus real in every band, in nats."""
        return self._bands(self.bias_by_bin())

    def by_family(self) -> dict[str, dict[str, float]]:
        """The same for each family, the largest family first."""
        ranked = sorted(self.families.items(), key=lambda item: (-item[1].clips, item[0]))
        return {name: self._bands(sums.absolute / sums.clips) for name, sums in ranked}

    def worst_band(self) -> str:
        """Name of the band with the largest error."""
        bands = self.by_band()
        return max(bands, key=lambda name: bands[name])

    def _bands(self, by_bin: Array) -> dict[str, float]:
        return {band.name: float(by_bin[band.bins].mean()) for band in mel_bands(self.mel)}
