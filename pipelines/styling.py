"""A reference clip as style, from a request to the diffusion stage (`latent_diffusion.style`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.style import Style, check_style_strength
from pipelines.editing import encoded, file_sha256, known_seconds
from pipelines.request import Request

DEFAULT_STYLE_STRENGTH = 0.15
# Of a longer reference only so much is heard.
LONGEST_REFERENCE_SECONDS = 30.0


def settled_style(request: Request) -> dict[str, Any] | None:
    """A request's style as plain containers, with the hash of the file; None where there is none.

    Raises:
        ValueError: a file that cannot be read, a strength out of its range, or one without a file.
    """
    if request.style is None:
        if request.style_strength is not None:
            raise ValueError("style_strength: only goes with --style FILE")
        return None
    strength = DEFAULT_STYLE_STRENGTH if request.style_strength is None else float(request.style_strength)
    check_style_strength(strength)
    known_seconds(request.style, "style")
    return {
        "path": str(request.style.resolve()),
        "sha256": file_sha256(request.style, "style"),
        "strength": strength,
    }


@torch.inference_mode()
def style_of(settings: Mapping[str, Any], autoencoder: MelVAE, diffusion: LatentDiffusion) -> Style | None:
    """Encode the reference of settled settings; None where there is none.

    Args:
        settings: of `pipelines.settling.settle`.
        autoencoder: encodes.
        diffusion: whitens.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    told = settings["style"]
    if told is None:
        return None
    spec = diffusion.spec
    latents = encoded(Path(told["path"]), autoencoder, "style", LONGEST_REFERENCE_SECONDS)
    silence = torch.tensor(spec.silence, device=latents.device)[None, :, None]
    return Style(spec.whiten(latents), spec.whiten(silence)[0, :, 0], told["strength"])
