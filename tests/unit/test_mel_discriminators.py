"""Discriminators of log-mels: what they see, and what a network learns from them."""

import pytest
import torch
from torch import nn

from autoencoder.discriminators import MelDiscriminators, MelGanConfig
from training.game import discriminator_hinge, feature_matching, generator_hinge


def scattered(clips: int) -> torch.Tensor:
    """Log-mels of a steady noise: they scatter by a nat from frame to frame, and no network can tell how."""
    return -5.0 + torch.randn(clips, 32, 24)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"start_batch": -1}, "gan.start_batch"),
        ({"channels": 0}, "channels"),
        ({"time_scales": ()}, "time_scales"),
        ({"time_scales": (0,)}, "time_scales"),
        ({"game": "chess"}, "gan.game"),
        ({"learning_rate_factor": 0.0}, "gan.learning_rate_factor"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, named) -> None:
    with pytest.raises(ValueError, match=named):
        MelGanConfig(**numbers)


def test_they_see_every_frame_and_how_high_a_bin_lies() -> None:
    torch.manual_seed(0)
    listeners = MelDiscriminators(MelGanConfig(1, 4, (1, 2)))
    log_mel = scattered(2).requires_grad_()
    judged = listeners(log_mel)
    assert len(judged.scores) == 2
    assert len(judged.features) == 8
    sum(score.sum() for score in judged.scores).backward()
    assert bool((log_mel.grad.abs().amax(dim=(0, 1)) > 0.0).all())
    # The same patch, an octave higher, is another.
    low, high = torch.full((1, 32, 24), -8.0), torch.full((1, 32, 24), -8.0)
    low[:, 8:12], high[:, 16:20] = -2.0, -2.0
    first, second = (listeners(one).scores[0] for one in (low, high))
    assert not torch.allclose(first.amax(), second.amax(), atol=1e-4)


def test_a_network_learns_from_them_to_scatter() -> None:
    torch.manual_seed(0)

    class Maker(nn.Module):
        """Something to make noise louder or fainter by."""

        def __init__(self) -> None:
            super().__init__()
            self.amount = nn.Parameter(torch.tensor(0.1))

        def forward(self) -> torch.Tensor:
            return -5.0 + self.amount * torch.randn(8, 32, 24)

    maker, listeners = Maker(), MelDiscriminators(MelGanConfig(1, 8))
    made_by = torch.optim.Adam(maker.parameters(), 0.02, betas=(0.5, 0.9))
    heard_by = torch.optim.Adam(listeners.parameters(), 2e-3, betas=(0.5, 0.9))
    for _ in range(120):
        real, fake = scattered(8), maker()
        heard_by.zero_grad()
        discriminator_hinge(listeners(real), listeners(fake.detach())).backward()
        heard_by.step()
        made_by.zero_grad()
        judged = listeners(fake)
        (generator_hinge(judged) + feature_matching(listeners(real), judged)).backward()
        made_by.step()
    # By the mean absolute difference alone it would go to 0, the middle of what may be.
    assert 0.6 < abs(float(maker.amount)) < 1.5
