"""Averaged weights that leave what does not move exactly where it is."""

from lightning.pytorch.callbacks import EMAWeightAveraging as LightningEMA
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMAWeightAveraging(LightningEMA):
    """Lightning's, with the average as `average + (1 - decay) * (weight - average)`.

    Lightning's own `decay * average + (1 - decay) * weight` rounds at every step: a frozen encoder drifts in its last
    digits, gets another fingerprint, and makes its latents stale.

    Args:
        decay: of the average.
        use_buffers: average buffers too.
        update_every_n_steps: how often.
        update_starting_at_step: the first step after which it is updated.
    """

    def __init__(
        self,
        decay: float = 0.999,
        use_buffers: bool = False,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
    ) -> None:
        WeightAveraging.__init__(self, use_buffers=use_buffers, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = None
