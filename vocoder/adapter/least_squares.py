"""The best linear filter in closed form: what training would find first, before its first step.

    L = argmin sum |x_t - prior - L (1, f)|^2 + ridge n |L|^2                  over the frames inside the clips

f are the features of a frame and its neighbours; n is their number of frames. A band keeps its filter only where that
lowers the mean absolute error too: where the prior is good, squares of rare misses (digital silence) would spoil it,
and where the source hears nothing, the filter is all there is. Sums are kept, not frames, so any number of clips fits.
"""

import torch
from einops import rearrange
from torch import Tensor

from vocoder.adapter.model import LINEAR_KERNEL, MelAdapter

RIDGE = 1e-3
# Of the prior's error. Measured: filters that gain a tenth on the clips they were fitted to lose on others; those that
# halve the error belong to bands that the source does not hear.
LEAST_GAIN = 0.5


class LeastSquares:
    """Gathers frames, then sets the adapter's linear filter.

    Args:
        adapter: whose filter is set.
    """

    def __init__(self, adapter: MelAdapter) -> None:
        self.adapter = adapter
        size = adapter.linear.in_channels * LINEAR_KERNEL + 1
        self.frames = 0
        self.gram = torch.zeros(size, size, dtype=torch.float64)
        self.cross = torch.zeros(size, adapter.target.n_mels, dtype=torch.float64)
        self.errors = torch.zeros(2, adapter.target.n_mels, dtype=torch.float64)

    @torch.no_grad()
    def add(self, log_mel: Tensor, target: Tensor, inside: Tensor) -> None:
        """Take a batch into the sums of the fit.

        Args:
            log_mel: of the source, `(batch, source n_mels, frames)`.
            target: what it should become, `(batch, target n_mels, target frames)`.
            inside: frames that count, `(batch, target frames)`.
        """
        rows, missing = self._rows(log_mel, target, inside)
        self.frames += len(rows)
        self.gram += (rows.T @ rows).double()
        self.cross += (rows.T @ missing).double()

    @torch.no_grad()
    def judge(self, log_mel: Tensor, target: Tensor, inside: Tensor) -> None:
        """Take another batch into the sums that compare the solution with doing nothing; arguments as in `add`."""
        rows, missing = self._rows(log_mel, target, inside)
        solution = self.solution().float()
        self.errors += torch.stack([missing.abs().sum(dim=0), (missing - rows @ solution).abs().sum(dim=0)]).double()

    def solution(self) -> Tensor:
        """The filter of each band with its offset at the end, `(features kernel + 1, bands)`."""
        ridge = torch.full((len(self.gram),), RIDGE * max(1, self.frames), dtype=torch.float64)
        ridge[-1] = 1e-9
        found: Tensor = torch.linalg.solve(self.gram + torch.diag(ridge), self.cross)
        return found

    @torch.no_grad()
    def set_filter(self) -> int:
        """Give the adapter the filters of the bands that they help.

        Returns:
            how many bands that are.
        """
        nothing, filtered = self.errors
        # Fewer frames than unknowns are explained by anything.
        helps = (filtered < LEAST_GAIN * nothing) & (self.frames > len(self.gram))
        solution = self.solution() * helps
        linear = self.adapter.linear
        linear.weight.copy_(
            rearrange(solution[:-1], "(features kernel) bands -> bands features kernel", kernel=LINEAR_KERNEL)
        )
        if linear.bias is not None:
            linear.bias.copy_(solution[-1])
        return int(helps.sum())

    def _rows(self, log_mel: Tensor, target: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the frames inside the clips, `(frames, features kernel + 1)`, and what the prior misses there."""
        prior = self.adapter.prior(log_mel)
        features = self.adapter.features(log_mel, prior)
        reach = LINEAR_KERNEL // 2
        stacked = torch.nn.functional.pad(features, (reach, reach)).unfold(2, LINEAR_KERNEL, 1)
        frames = target.shape[-1]
        rows = rearrange(stacked[:, :, :frames], "batch features frames kernel -> batch frames (features kernel)")
        missing = rearrange(target - prior[..., :frames], "batch bands frames -> batch frames bands")
        rows, missing = rows[inside].cpu(), missing[inside].cpu()
        return torch.cat([rows, torch.ones(len(rows), 1)], dim=1), missing
