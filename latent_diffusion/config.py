"""All that is needed to build the diffusion stage again."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from audio.latents import LatentSpec
from latent_diffusion.conditioning import ConditioningConfig
from latent_diffusion.flow import check_prediction
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig


@dataclass(frozen=True)
class LatentDiffusionConfig:
    """All that is needed to build the stage again.

    Args:
        network: sizes.
        path: between noise and data.
        prediction: velocity, noise or v.
        conditioning: what it understands.
        latents: what it makes.
        max_seconds: longest total length it was trained on.
        guide: sizes of the guiding model, a weaker one of the same kind; None where there is none.

    Raises:
        ValueError: a prediction that does not fit the path.
    """

    network: NetworkConfig
    path: PathConfig
    prediction: str
    conditioning: ConditioningConfig
    latents: LatentSpec
    max_seconds: float
    guide: NetworkConfig | None = None

    def __post_init__(self) -> None:
        """Check what belongs together."""
        check_prediction(self.prediction, self.path)
        if not 0.0 < self.max_seconds < math.inf:
            raise ValueError(f"max_seconds: expected a positive number, got {self.max_seconds}")

    def of_guide(self) -> "LatentDiffusionConfig | None":
        """All that is needed to build the guiding model."""
        return None if self.guide is None else replace(self, network=self.guide, guide=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "network": asdict(self.network),
            "path": asdict(self.path),
            "prediction": self.prediction,
            "conditioning": self.conditioning.to_dict(),
            "latents": self.latents.to_dict(),
            "max_seconds": self.max_seconds,
            **({} if self.guide is None else {"guide": asdict(self.guide)}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LatentDiffusionConfig":
        """The inverse of `to_dict`.

        Raises:
            ValueError: a missing or unknown field.
        """
        try:
            return cls(
                network=NetworkConfig(**values["network"]),
                path=PathConfig(**values["path"]),
                prediction=values["prediction"],
                conditioning=ConditioningConfig(**values["conditioning"]),
                latents=LatentSpec.from_dict(values["latents"]),
                max_seconds=float(values["max_seconds"]),
                guide=NetworkConfig(**values["guide"]) if values.get("guide") else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"latent_diffusion config: missing or unknown field ({error})") from error
