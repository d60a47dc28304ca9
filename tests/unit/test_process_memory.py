"""What a process holds: the peak is held on to, and forgotten where the system lets it."""

import pytest

from pipelines import process_memory
from pipelines.process_memory import peak_mib, start_mib

LARGE = 200


def test_the_peak_stays_when_what_made_it_has_gone_and_a_new_start_forgets_it() -> None:
    if not process_memory.RESET.exists():
        pytest.skip("only Linux forgets")
    before = start_mib()
    block = bytearray(b"x") * (LARGE * 2**20)
    del block
    peak = peak_mib()
    assert 0.9 * LARGE <= peak - before <= 1.5 * LARGE
    assert start_mib() < peak - 0.8 * LARGE


def test_without_proc_the_system_is_asked_otherwise(monkeypatch, tmp_path) -> None:
    pytest.importorskip("resource")
    told = peak_mib()
    monkeypatch.setattr(process_memory, "STATUS", tmp_path / "none")
    monkeypatch.setattr(process_memory, "RESET", tmp_path / "none" / "neither")
    assert peak_mib() >= 0.9 * told
    assert start_mib() == peak_mib()
