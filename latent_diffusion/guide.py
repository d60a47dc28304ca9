"""A weaker model beside the one that it guides, in one stage (`latent_diffusion.guidance`, autoguidance)."""

from dataclasses import replace

from torch import Tensor

from latent_diffusion.config import LatentDiffusionConfig
from training.checkpoint import StageRecord

GUIDE = "guide."
# What both must have in common: the weaker one is asked about the same latents, in the same words.
SHARED = ("path", "prediction", "conditioning", "latents")


def with_guide(
    record: StageRecord, weights: dict[str, Tensor], guide: StageRecord, guide_weights: dict[str, Tensor]
) -> tuple[StageRecord, dict[str, Tensor]]:
    """A stage that holds a guiding model; one that it held before is left out.

    Args:
        record: of the stage.
        weights: of the stage.
        guide: record of the weaker one.
        guide_weights: of the weaker one.

    Raises:
        ValueError: they were not trained on the same latents, path and words; names what differs.
    """
    own, weaker = (LatentDiffusionConfig.from_dict(one.config) for one in (record, guide))
    differing = [name for name in SHARED if getattr(own, name) != getattr(weaker, name)]
    if differing:
        raise ValueError(
            f"guide: differs from the model in {' and '.join(differing)}; train both on the same latents, with the "
            "same path, prediction, text encoder and data.lengths"
        )
    both = {name: value for name, value in weights.items() if not name.startswith(GUIDE)}
    both |= {GUIDE + name: value for name, value in guide_weights.items() if not name.startswith(GUIDE)}
    config = replace(own, guide=weaker.network).to_dict()
    licences = sorted({*record.licences, *guide.licences})
    lineage = {**record.lineage, "guide": guide.fingerprint}
    return replace(record, config=config, licences=licences, lineage=lineage).sealed(both), both
