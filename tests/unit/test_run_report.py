"""The first line of a training says when it will end, whatever ends it first."""

import time

import pytest
from lightning.pytorch import Trainer

from training.module import StageTraining
from training.run_report import RunReport
from training.schedule import OptimiserConfig, ScheduleConfig


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_steps": 370}, "about 60 min of training to come"),
        ({"max_steps": 10**6, "max_time": "00:02:00:00"}, "about 2.0 h of training to come"),
        ({"max_steps": 370, "max_time": "00:02:00:00"}, "about 60 min of training to come"),
        ({"max_steps": -1, "max_time": {"minutes": 20}}, "about 20 min of training to come"),
        ({"max_steps": -1}, "trains until stopped"),
    ],
)
def test_the_limit_that_comes_first_is_told(limits, said, tmp_path, capsys) -> None:
    trainer = Trainer(**limits, max_epochs=-1, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    report, module = RunReport(), StageTraining(OptimiserConfig(), ScheduleConfig())
    # Ten batches: one that compiled for ten minutes, then nine of ten seconds each.
    now = time.monotonic()
    report.started, report.ended = now - 690.0, [now - 90.0 + 10.0 * number for number in range(9)]
    module.batches_done = 10
    report.on_train_batch_end(trainer, module)
    assert said in "".join(capsys.readouterr())


def test_a_line_of_a_validation_knows_the_limit_too(tmp_path, capsys) -> None:
    trainer = Trainer(max_steps=10**6, max_time={"minutes": 20}, accelerator="cpu", default_root_dir=tmp_path)
    report, module = RunReport(), StageTraining(OptimiserConfig(), ScheduleConfig())
    report.started, module.batches_done, module.monitor = time.monotonic() - 100.0, 10, "loss"
    report.on_validation_end(trainer, module)
    assert "about 20 min to go" in "".join(capsys.readouterr())
