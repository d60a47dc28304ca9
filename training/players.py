"""Stages in which two players may take turns: a network, and discriminators that judge it.

Lightning does not optimise two by itself, so it is done by hand, and the keys of the YAML stay those of every stage:
the command line hands `trainer.gradient_clip_val`, `gradient_clip_algorithm` and `accumulate_grad_batches` over to the
module, and `trainer.max_steps` counts the network's optimiser steps alone (the discriminators' are taken beside it).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from training.command import say
from training.game import DISCRIMINATOR_LOSSES, GENERATOR_LOSSES, Game, feature_matching
from training.module import StageTraining
from training.schedule import build_optimiser, build_schedule


class PlayersTraining(StageTraining):
    """A stage that may be optimised by hand; `play_by_hand` says that it is, and it sets `discriminators`."""

    discriminators: nn.Module | None
    gradient_clip_val: float | None = None
    gradient_clip_algorithm = "norm"
    accumulate_grad_batches = 1

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the players that the run had.

        Raises:
            ValueError: discriminators that come or go.
        """
        played = any(name.startswith("discriminators.") for name in checkpoint["state_dict"])
        if getattr(self, "discriminators", None) is None and played:
            raise ValueError(
                "the run to resume plays against discriminators (model.gan.start_batch), and this one does not; "
                "start afresh with --resume false"
            )
        super().on_load_checkpoint(checkpoint)

    def play_by_hand(self) -> None:
        """Optimise in `training_step`, by `learn`."""
        self.automatic_optimization = False

    def adapt_trainer(self, trainer_config: dict[str, Any]) -> None:
        """Take over what Lightning refuses to do under manual optimisation.

        Raises:
            ValueError: a precision whose gradients would have to be scaled.
        """
        if self.automatic_optimization:
            return
        self.gradient_clip_val = trainer_config.pop("gradient_clip_val", None)
        self.gradient_clip_algorithm = trainer_config.pop("gradient_clip_algorithm", None) or "norm"
        self.accumulate_grad_batches = trainer_config.pop("accumulate_grad_batches", None) or 1
        if str(trainer_config.get("precision")) in ("16", "16-mixed"):
            raise ValueError(
                f"trainer.precision: expected 32-true or bf16-mixed for the {self.kind}, got 16-mixed: where two "
                "players learn, gradients are not scaled"
            )

    def players(self, slower: float) -> list[torch.optim.Optimizer]:
        """Optimisers of the network and, where there are any, of the discriminators.

        Args:
            slower: the discriminators' learning rate over the network's.
        """
        config = self.optimiser_config
        optimisers = [build_optimiser(self.model.parameters(), config)]
        if self.discriminators is not None:
            theirs = replace(config, learning_rate=config.learning_rate * slower)
            optimisers.append(build_optimiser(self.discriminators.parameters(), theirs))
        return optimisers

    def player_schedules(
        self, optimisers: list[torch.optim.Optimizer], start: int
    ) -> list[LRScheduler | ReduceLROnPlateau]:
        """Their learning rates; discriminators that begin later end with the network.

        Args:
            optimisers: of `players`.
            start: the batch at which the discriminators begin.
        """
        schedule, max_steps = self.schedule_config, self.trainer.max_steps
        schedules = [build_schedule(optimisers[0], schedule, max_steps)]
        if len(optimisers) > 1:
            end = schedule.total_steps or max_steps
            last = max_steps * self.accumulate_grad_batches
            if 0 < last <= start:
                say(f"warning: discriminators begin at batch {start}, and training ends at {last}: they never play")
            left = max(1, end - start // self.accumulate_grad_batches) if end > 0 else end
            schedules.append(build_schedule(optimisers[1], replace(schedule, total_steps=max(0, left)), max_steps))
        return schedules

    def ends_a_step(self, batch_idx: int) -> bool:
        """Whether a batch is the last of an accumulation."""
        return (batch_idx + 1) % self.accumulate_grad_batches == 0 or bool(self.trainer.is_last_batch)

    def adversarial_terms(self, game: Game, estimate: Tensor, target: Tensor, last: bool) -> dict[str, Tensor]:
        """The discriminators learn from a batch; then what they say of it to the network.

        Args:
            game: hinge or least_squares.
            estimate: what was made.
            target: what is real.
            last: of an accumulation.
        """
        discriminators = self.discriminators
        if discriminators is None:
            return {}
        real, fake = discriminators(target), discriminators(estimate.detach())
        loss = DISCRIMINATOR_LOSSES[game](real, fake)
        self.learn(1, discriminators, loss, last)
        self.log("train/discriminators", loss.detach(), batch_size=len(target))
        discriminators.requires_grad_(False)
        with torch.no_grad():
            real = discriminators(target)
        fake = discriminators(estimate)
        discriminators.requires_grad_(True)
        return {"adversarial": GENERATOR_LOSSES[game](fake), "feature_matching": feature_matching(real, fake)}

    def learn(self, index: int, player: nn.Module, loss: Tensor, last: bool) -> None:
        """Backward; on the last batch of an accumulation also clip, step and move the learning rate.

        Args:
            index: of the player's optimiser; 0 is the network.
            player: whose parameters learn.
            loss: of one batch.
            last: of an accumulation.
        """
        self.manual_backward(loss / self.accumulate_grad_batches)
        if last:
            self._step(index, player)

    def _step(self, index: int, player: nn.Module) -> None:
        """Clip, step and clear one player, and move its learning rate."""
        optimiser = _listed(self.optimizers())[index]
        if self.gradient_clip_val:
            if self.gradient_clip_algorithm == "value":
                nn.utils.clip_grad_value_(player.parameters(), self.gradient_clip_val)
            else:
                norm = nn.utils.clip_grad_norm_(player.parameters(), self.gradient_clip_val)
                self.log(f"train/gradient_norm_{index}", norm)
        # Only the network's steps go through Lightning's counter: `max_steps` then means the same in every stage.
        if index == 0:
            optimiser.step()
        else:
            optimiser.optimizer.step()
        optimiser.zero_grad()
        schedule = _listed(self.lr_schedulers())[index]
        if not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    """Lightning gives one thing for one player, a list for two."""
    return list(value) if isinstance(value, list | tuple) else [value]
