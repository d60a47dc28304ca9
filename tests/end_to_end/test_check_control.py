"""What `pipelines.check_control` prints is measured: promises that are kept and ones that are not."""

import json
from pathlib import Path

import pytest
import torch

from audio.files import read_audio, write_audio
from pipelines import check_control
from pipelines.borders import border_scores, cut_scores
from pipelines.check_control import main, pairs
from pipelines.control_promises import BROKEN, LIMITS, UNHEARD, Property, decibels, show
from pipelines.live import live_output


@pytest.fixture(scope="module")
def folder(sonic_pi_folder: Path, tmp_path_factory) -> Path:
    """Three real recordings of two seconds and a half, with captions."""
    out = tmp_path_factory.mktemp("sources")
    rows = []
    for name in ("ambi_drone", "guit_em9", "loop_amen_full"):
        write_audio(out / f"{name}.wav", read_audio(sonic_pi_folder / f"{name}.flac", 44_100, seconds=2.5)[0], 44_100)
        rows.append({"file_name": f"{name}.wav", "text": name.replace("_", " "), "split": "test"})
    (out / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return out


def test_every_promise_is_measured_on_the_bundled_model(folder, tmp_path, capsys) -> None:
    options = ["--audio", str(folder), "--clips", "2", "--solver_steps", "4"]
    assert main([*options, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert Path(printed.out.strip()) == tmp_path / "control.json"
    page = json.loads((tmp_path / "control.json").read_text())
    for name in ("kept", "morph", "loop"):
        assert len(page[name]["values"]) == 2
    assert set(page) - {"stages", "data"} == set(LIMITS)
    for name in LIMITS:
        assert name in printed.err
        # Of a long clip, each border of its windows.
        assert len(page[name]["values"]) <= (5 if name != "long" else 24)
    assert page["strength"]["values"][0] == 0.0
    assert page["strength"]["within"] == 1.0
    assert max(page["kept"]["values"]) < page["kept"]["limit"] == 0.05
    assert max(page["morph"]["values"]) < page["morph"]["limit"] == 3.0
    # A drone that breaks off goes on: without its last moments behind its end it falls silent there.
    assert len(page["goes_on"]["values"]) == 2
    assert page["goes_on"]["limit"] == 12.0


def test_what_was_measured_before_it_stopped_is_kept(folder, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> list[float]:
        raise KeyboardInterrupt

    first, second, *others = LIMITS
    told = {first: lambda: [0.0, 0.5], second: stopped} | dict.fromkeys(others, stopped)
    monkeypatch.setattr(check_control, "measures", lambda *_: told)
    assert main(["--audio", str(folder), "--clips", "2", "--out", str(tmp_path)]) == 130
    page = json.loads((tmp_path / "control.json").read_text())
    assert set(page) == {"stages", "data", first}
    assert page[first]["values"] == [0.0, 0.5]


def test_one_promise_alone_is_measured_each_clip_of_a_seed_of_its_own(
    folder, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def looking(pipeline, job, settings):
        asked.append((settings["seed"], settings["seconds"]))
        return live_output(pipeline, job, settings)

    monkeypatch.setattr(check_control, "live_output", looking)
    monkeypatch.setattr(check_control, "LONG_SECONDS", 2.5)
    options = ["--audio", str(folder), "--clips", "2", "--solver_steps", "1", "--seed", "5", "--only", "stream"]
    assert main([*options, "--out", str(tmp_path)]) == 0
    assert set(json.loads((tmp_path / "control.json").read_text())) == {"stages", "data", "stream"}
    assert asked == [(5, 2.5), (6, 2.5)]


def test_the_table_says_what_there_was_nothing_to_measure_of(capsys) -> None:
    show([Property("loop", (0.8, 0.9, BROKEN), 1.0), Property("pitch", (4.0, UNHEARD), 50.0)])
    rows = [line for line in capsys.readouterr().err.splitlines() if "loop" in line or "pitch" in line]
    assert "silent" in rows[0]
    assert "67%" in rows[0]
    assert "no note" in rows[1]
    assert "50%" in rows[1]


def test_levels_are_in_decibels() -> None:
    tone = torch.sin(torch.arange(44_100) * 0.1)
    assert decibels(tone) == pytest.approx(-3.01, abs=0.01)
    assert decibels(0.1 * tone) == pytest.approx(-23.01, abs=0.01)
    assert decibels(torch.zeros(100)) == -100.0


def test_a_border_that_jumps_is_told_from_one_that_does_not() -> None:
    log_mel = torch.randn(20, 400, generator=torch.Generator().manual_seed(0)).cumsum(dim=1) * 0.1
    (plain,) = border_scores(log_mel, [200])
    assert plain < 1.1
    usual = float(log_mel.diff(dim=-1).abs().mean())
    log_mel[:, 200:] += 3.0 * usual
    (rough,) = border_scores(log_mel, [200])
    assert rough > 1.3
    assert list(border_scores(log_mel, [0, 399, 500])) == []
    # A border in silence is not heard.
    log_mel[:, 150:250] -= 50.0
    assert list(border_scores(log_mel, [200])) == []


def test_a_cut_that_jumps_is_told_from_ones_that_do_not() -> None:
    log_mel = torch.randn(20, 400, generator=torch.Generator().manual_seed(0)).cumsum(dim=1) * 0.1
    plain = cut_scores(log_mel, [100, 200, 300])
    assert max(plain) < 1.2
    log_mel[:, 200:] += 3.0 * float(log_mel.diff(dim=-1).abs().mean())
    rough = cut_scores(log_mel, [100, 200, 300])
    assert rough[1] > 2.0
    assert (rough[0], rough[2]) == pytest.approx((plain[0], plain[2]), rel=0.05)
    # A frame beside it, it is heard as well: decoders spread what latents do.
    assert cut_scores(log_mel, [201])[0] > 2.0
    assert cut_scores(log_mel, [0, 1, 399, 500]) == []
    log_mel[:, 150:250] -= 50.0
    assert len(cut_scores(log_mel, [100, 200, 300])) == 2


def test_shares_are_those_of_the_values_within_their_limit() -> None:
    assert Property("loop", (0.5, 1.0, 1.5, 2.0), 1.0).within == 0.5
    assert Property("strength", (0.0, 0.2, 0.1, 0.4), None).within == pytest.approx(2 / 3)
    assert Property("kept", (), 1.0).within is None
    assert pairs(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("c", "a")]


def test_short_clips_leave_out_what_they_cannot_show(sonic_pi_folder, tmp_path, capsys) -> None:
    source = tmp_path / "drums"
    source.mkdir()
    rows = []
    for name in ("bd_haus", "drum_cowbell"):
        write_audio(source / f"{name}.wav", read_audio(sonic_pi_folder / f"{name}.flac", 44_100)[0], 44_100)
        rows.append({"file_name": f"{name}.wav", "text": name.replace("_", " "), "split": "test"})
    (source / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert main(["--audio", str(source), "--clips", "2", "--solver_steps", "1", "--out", str(tmp_path / "out")]) == 0
    assert "nothing to judge" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "control.json").read_text())["kept"]["values"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--clips", "1"], "clips: expected at least 2"),
        (["--audio", "/nowhere"], "nowhere"),
        (["--only", "streams"], "only: expected some of strength, kept"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, capsys, options, words) -> None:
    assert main(["--audio", str(folder), "--out", str(tmp_path / "out"), *options]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "out").exists()
