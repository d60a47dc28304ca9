"""What the pages say can be done: commands parse, files exist, examples compile, cheap ones run.

Read are README, CONTRIBUTING, benchmarks/README, the card of the bundled model and all of docs/. A command in a shell
block is handed to the very parser that would read it, and not run; the cheap ones are run too.
"""

import contextlib
import itertools
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import training.cli
import training.command
from audio.mel import MelConfig
from pipelines.console import COMMANDS
from training.cli import StageCLI
from training.command import make_parser
from vocoder.loading import load_vocoder

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "bundles/oneshots/README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", CARD, *ROOT.glob("docs/**/*.md")]
STAGES = ("autoencoder", "latent_diffusion", "vocoder")
SHELLS = ("bash", "sh", "shell", "powershell", "bat")
# What runs and builds make, and is not under version control.
MADE = ("runs/", "data/", "out/", ".venv")
# The released model has its own tests; a page may point at it before it is there.
LATER = ("bundles/",)
OTHER_PROGRAMS = ("cd", "git", "tensorboard", "pre-commit", "pytest", "apt-get", "sudo", "py", "mkdir", "cp")
FENCE = re.compile(r"^[ ]*```(\w*)[^\n]*\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
NAMED_FILE = re.compile(r"(?<![\w/.{*-])((?:[\w.-]+/)*[\w.-]+\.(?:py|yaml|toml|md))\b(?![/*])")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page.relative_to(ROOT).as_posix(), language, text)
        for page in PAGES
        for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of every shell block, as (page, words): comments cut off, continued lines joined."""
    for block in blocks(*SHELLS):
        for line in re.sub(r"[\\`]\n\s*", " ", block.text).splitlines():
            words = shlex.split(line.replace("\\", "/"), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            # Where the output goes is the shell's business.
            words = list(itertools.takewhile(lambda word: word not in ("|", ">"), words))
            for part in " ".join(shlex.quote(word) for word in words).split(" '&&' "):
                if part:
                    yield block.page, shlex.split(part)


def unique(pairs: Iterator[tuple[str, list[str]]]) -> list[Any]:
    seen = {tuple(words): (page, words) for page, words in reversed(list(pairs))}
    return [pytest.param(*pair, id=" ".join(pair[1])[:70]) for pair in seen.values()]


ALL = unique(commands())


class Parsed(Exception):
    """The command line was understood."""


class ParsedOnly(StageCLI):
    """Reads a stage's command line, builds nothing."""

    def instantiate_classes(self) -> None:
        """Go no further."""
        raise Parsed


def stop_after_parsing(function: Any, arguments: Any = None, **options: Any) -> int:
    """Reads a function's command line in the place of `run_command`, calls nothing."""
    fixed = tuple(options.pop("fixed", None) or ())
    make_parser(function, skip=fixed, **options).parse_args(list(sys.argv[1:] if arguments is None else arguments))
    raise Parsed


def replace_everywhere(name: str, original: Any, double: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a double in the place of a function, also in the modules that have imported it by name before."""
    for module in list(sys.modules.values()):
        if vars(module).get(name) is original:
            monkeypatch.setattr(module, name, double)


def parse(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand a command line to the module's own parser.

    Raises:
        Exception: of the parser: an unknown module, option or value.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    replace_everywhere("run_command", training.command.run_command, stop_after_parsing, monkeypatch)
    replace_everywhere("StageCLI", training.cli.StageCLI, ParsedOnly, monkeypatch)
    with warnings.catch_warnings():
        # Modules that a test has imported before run once more here.
        warnings.simplefilter("ignore")
        with contextlib.suppress(Parsed):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            pytest.fail(f"{module} did not read its command line")


def program(words: list[str]) -> tuple[str, list[str]] | None:
    """Module and arguments of a command of ours; None for another program's."""
    name = Path(words[0]).name
    if name in ("python", "python3", "python.exe") and words[1] == "-m":
        return words[2], words[3:]
    if name in ("python", "python3", "python.exe") and words[1] == "generate.py":
        return "pipelines.generate", words[2:]
    return (COMMANDS[words[1]][0], words[2:]) if name == "melisma" else None


def test_there_are_pages_with_commands():
    assert all(page.is_file() for page in PAGES)
    assert len(ALL) > 20
    assert {"README.md", "CONTRIBUTING.md", "docs/concepts.md"} <= {page.relative_to(ROOT).as_posix() for page in PAGES}


@pytest.mark.parametrize(("page", "words"), ALL)
def test_commands_are_understood(page: str, words: list[str], monkeypatch: pytest.MonkeyPatch):
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        wanted = [word for word in words[1:] if "=" not in word]
        assert wanted, f"{page}: make what?"
        assert set(wanted) <= set(targets), f"{page}: no such target in the Makefile"
        return
    ours = program(words)
    if ours is None or ours[0] in ("venv", "pip", "pytest", "tensorboard"):
        name = Path(words[0]).name
        assert ours or name in OTHER_PROGRAMS or name in ("pip", "pip.exe"), f"{page}: what is {words[0]}?"
        return
    for word in ours[1]:
        if re.fullmatch(r"(configs|docs|benchmarks)/\S+", word):
            assert (ROOT / word).exists(), f"{page}: {word} does not exist"
    parse(*ours, monkeypatch)


def test_commands_that_the_card_names_are_written_out():
    named = set(re.findall(r"`python -m ([\w.]+)", CARD.read_text(encoding="utf-8")))
    written = {words[2] for page, words in commands() if ROOT / page == CARD and words[:2] == ["python", "-m"]}
    assert len(named) > 5
    assert named <= written


def test_a_command_is_understood_where_its_neighbours_were_imported_before(monkeypatch: pytest.MonkeyPatch):
    import pipelines.generate  # noqa: F401 (`pipelines.stream` runs through a function of it)

    words = next(words for _, words in commands() if words[:3] == ["python", "-m", "pipelines.stream"])
    parse(words[2], words[3:], monkeypatch)


def test_a_wrong_option_would_be_found(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(Exception, match="solver_stepz"):
        parse("pipelines.generate", ["--solver_stepz", "3"], monkeypatch)


def test_a_wrong_key_of_a_stage_would_be_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse("vocoder", ["fit", "-c", "configs/tiny/vocoder.yaml", "--model.network.dims", "3"], monkeypatch)
    assert "dims" in capsys.readouterr().err


def test_the_cheap_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    cheap = [words[3:] for _, words in commands() if words[:3] == ["python", "-m", "latent_diffusion.schedules"]]
    assert cheap
    for arguments in cheap:
        monkeypatch.setattr(sys, "argv", ["python -m latent_diffusion.schedules", *arguments])
        with pytest.raises(SystemExit) as left:
            runpy.run_module("latent_diffusion.schedules", run_name="__main__")
        assert not left.value.code
        assert "log-SNR" in capsys.readouterr().out
        for option, value in itertools.pairwise(arguments):
            assert option != "--out" or (tmp_path / value).stat().st_size > 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    linked = {(page.parent / link.strip()).resolve() for link in LINK.findall(text)}
    missing = {path for path in linked if not path.exists() and path.is_relative_to(ROOT)}
    assert {p for p in missing if not p.relative_to(ROOT).as_posix().startswith(LATER)} == set()
    named = {name for name in NAMED_FILE.findall(text) if "/" in name and not name.startswith((*MADE, *LATER, ".."))}
    here = {name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()}
    assert {name for name in here if not name.startswith(("http", "my_", "configs/mine", "STAGE/"))} == set()


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_python_examples_compile(block: Block):
    assert compile(block.text, block.page, "exec").co_names


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_yaml_examples_are_read_by_their_stage(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A block that names a stage in its first line is laid over that stage's preset."""
    assert isinstance(yaml.safe_load(block.text), dict)
    stage = re.split(r"\W+", block.text.splitlines()[0].lstrip("# "))[0]
    if stage not in STAGES:
        return
    over = tmp_path / "over.yaml"
    over.write_text(block.text, encoding="utf-8")
    parse(stage, ["fit", "-c", f"configs/oneshots/{stage}.yaml", "-c", str(over)], monkeypatch)


def test_the_vocoder_example_is_a_vocoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The class of the pages, word for word, is loaded by import path and makes sound of the right length."""
    mel = MelConfig.from_yaml(ROOT / "configs/mel/hifigan_22khz.yaml")
    examples = [block for block in blocks("python") if "def decode" in block.text]
    assert examples
    for number, block in enumerate(examples):
        name = re.findall(r"^class (\w+)", block.text, re.MULTILINE)[0]
        (tmp_path / f"example_{number}.py").write_text(block.text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        vocoder = load_vocoder(f"example_{number}.{name}", mel)
        waveform = vocoder.decode(torch.full((2, mel.n_mels, 30), -3.0))
        assert waveform.shape == (2, mel.num_samples(30))
        assert float(waveform.abs().max()) > 0.0
