"""The help of the commands, as a newcomer reads it."""

import inspect

import pytest

from pipelines.generate import generate, main
from pipelines.ladder import main as ladder
from pipelines.options import GROUPS
from training.command import argument_help


def test_every_option_of_generate_stands_under_one_title_and_says_what_it_is(capsys) -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(set(inspect.signature(generate).parameters) - {"vocoder_arguments"})
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: generate.py [options]\n")
    places = [shown.index(f"\n{title}:\n") for title in GROUPS]
    assert places == sorted(places)
    for name in named:
        assert shown.count(f"\n  --{name} ") == 1, name
    texts = argument_help(generate)
    assert all(len(texts[name].split()) >= 3 for name in named), texts
    assert all(" ".join(texts[name].split()[:3]) in " ".join(shown.split()) for name in named)
    assert "--stream {wav,pcm}" in shown
    assert "--loop {true,false,circle,struck}" in shown
    assert "(True when" not in shown
    for noise in ("type:", "default:", "Literal", "<class", "null", "| None"):
        assert noise not in shown


@pytest.mark.parametrize("words", ["--model PATH", "folder of a bundle. (required)", "(test when left out)"])
def test_a_command_of_few_options_names_them_in_its_usage(capsys, words) -> None:
    assert ladder(["--help"]) == 0
    assert words in capsys.readouterr().out
