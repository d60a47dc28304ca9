"""See a path before you train on it: alpha, sigma and log-SNR over time, as a table and a picture.

python -m latent_diffusion.schedules --path variance_preserving --schedule cosine --out schedule.png
"""

import sys
from pathlib import Path

import torch

from latent_diffusion.paths import PathConfig, PathName, ScheduleName, alpha_sigma, log_snr
from training.command import answer, run_command


def table(path: PathConfig, rows: int = 11) -> str:
    """Alpha, sigma and log-SNR at evenly spaced times, as text."""
    lines = ["     t     alpha     sigma   log-SNR"]
    for value in torch.linspace(0.0, 1.0, rows, dtype=torch.float64):
        alpha, sigma = alpha_sigma(path, value)
        lines.append(f"{value:6.2f}  {alpha:8.4f}  {sigma:8.4f}  {log_snr(path, value):8.2f}")
    return "\n".join(lines)


def plot(path: PathConfig, out: Path) -> None:
    """Draw alpha, sigma and log-SNR over t into a PNG.

    Raises:
        ValueError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from audio.files import write_aside

    time = torch.linspace(0.0, 1.0, 501, dtype=torch.float64)
    alpha, sigma = alpha_sigma(path, time)
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    shares, ratio = figure.subplots(1, 2)
    shares.plot(time, alpha, label="alpha (data)")
    shares.plot(time, sigma, label="sigma (noise)")
    shares.set(xlabel="t (0 noise, 1 data)", title=path_title(path))
    shares.legend()
    ratio.plot(time[1:-1], log_snr(path, time)[1:-1])
    ratio.set(xlabel="t (0 noise, 1 data)", title="log signal-to-noise ratio")
    with write_aside(out) as aside:
        figure.savefig(aside, format="png", dpi=120)


def path_title(path: PathConfig) -> str:
    """Its name, with the schedule where there is one."""
    return path.name if path.name == "rectified_flow" else f"{path.name}, {path.schedule}"


def show(path: PathName = "rectified_flow", schedule: ScheduleName = "cosine", out: Path | None = None) -> None:
    """Print a path's table and draw it.

    Args:
        path: rectified_flow or variance_preserving.
        schedule: linear or cosine, of variance_preserving.
        out: where the PNG goes; none is drawn without.
    """
    config = PathConfig(path, schedule)
    answer(path_title(config))
    answer(table(config))
    if out is not None:
        plot(config, out)
        answer(str(out))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m latent_diffusion.schedules`."""
    return run_command(show, arguments, program="python -m latent_diffusion.schedules")


if __name__ == "__main__":
    sys.exit(main())
