"""How well latents fit what was asked for, by the model's own word: does knowing it help to take noise off them?

    evidence(z, c) = mean over times t and noise e of  |v(z_t) - v*|^2 - |v(z_t, c) - v*|^2,    z_t = mix(z, e, t)

The difference bounds log p(z | c) - log p(z) up to weights of time (Li et al., "Your Diffusion Model is Secretly a
Zero-Shot Classifier", 2023, equations 3 to 6). Times and noise are the same for all rows, so rows compare.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.flow import mix, target
from latent_diffusion.model import LatentDiffusion

# Where words decide: nearer noise all rows are alike, nearer data the rest of the sound says more than they do.
TIMES = (0.15, 0.3, 0.45, 0.6)
DRAWS = 2
# So often the network is asked about each row, with and without its condition.
PASSES = len(TIMES) * DRAWS
NOISE_SEED = 20_231_013


@torch.no_grad()
def prompt_evidence(
    model: LatentDiffusion,
    latents: Tensor,
    condition: Condition,
    loop: bool = False,
    on_pass: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Evidence of each row for its condition, `(batch,)`; above 0 it is better explained with it than without.

    Args:
        model: judges.
        latents: raw, `(batch, channels, latent_frames)`.
        condition: of each row.
        loop: the last frame leads into the first.
        on_pass: told after each pass how many are done, of how many.
    """
    data = model.spec.whiten(latents.to(model.device))
    config, rows = model.config, len(data)
    field = model.whole_field(loop)
    nothing = model.null_condition(rows)
    generator = torch.Generator().manual_seed(NOISE_SEED)
    found = torch.zeros(rows, device=data.device)
    done = 0
    for level in TIMES:
        time = torch.full((rows,), level, device=data.device)
        for _ in range(DRAWS):
            noise = torch.randn(1, *data.shape[1:], generator=generator).to(data).expand_as(data)
            noisy, wanted = (
                mix(data, noise, time, config.path),
                target(data, noise, time, config.path, config.prediction),
            )
            without, with_it = (
                (field(noisy, time, known) - wanted).square().mean(dim=(1, 2)) for known in (nothing, condition)
            )
            found += without - with_it
            done += 1
            if on_pass is not None:
                on_pass(done, PASSES)
    return found / PASSES
