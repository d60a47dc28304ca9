"""The house rules that no linter knows."""

import ast
import importlib.util
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("audio", "evaluation", "training", "autoencoder", "latent_diffusion", "vocoder", "pipelines")
OURS = "melisma"
LONGEST_FILE = 300
LONGEST_FUNCTION = 50
LONGEST_LIGHTNING_MODULE = 150


def tracked(suffix: str = "") -> list[Path]:
    """Files under version control; without git (an unpacked archive), all files but those of tools."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        folders = (*PACKAGES, "tests", "benchmarks", "configs", "docs")
        paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return [path for path in paths if path.is_file() and path.name.endswith(suffix)]


def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of a body: signature and docstring are documentation."""
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


def foreign_owners(owners: Mapping[str, Sequence[str]]) -> list[str]:
    """What to say of distributions that provide one of our top-level names."""
    return [
        f"another distribution provides '{name}'; uninstall it: pip uninstall {owner}"
        for name in PACKAGES
        for owner in owners.get(name, ())
        if owner.lower() != OURS
    ]


def test_no_other_distribution_provides_our_names():
    assert foreign_owners(packages_distributions()) == []


def test_another_distribution_is_named():
    message = foreign_owners({"autoencoder": ["autoencoder"], "audio": [OURS], "numpy": ["numpy"]})
    assert message == ["another distribution provides 'autoencoder'; uninstall it: pip uninstall autoencoder"]


@pytest.mark.parametrize("name", PACKAGES)
def test_imports_come_from_this_checkout(name: str):
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().is_relative_to(ROOT)


def test_files_are_short():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in tracked(".py")}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def long_definitions() -> Iterator[str]:
    for path in tracked(".py"):
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > LONGEST_FUNCTION:
                yield f"{name_of(path)}: function {node.name} has {code_lines(node)} lines"
            bases = [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
            if (
                isinstance(node, ast.ClassDef)
                and {"LightningModule", "StageTraining"} & set(bases)
                and code_lines(node) > LONGEST_LIGHTNING_MODULE
            ):
                yield f"{name_of(path)}: LightningModule {node.name} has {code_lines(node)} lines"


def test_functions_and_lightning_modules_are_short():
    assert list(long_definitions()) == []


def test_no_room_is_called_utils():
    parts = {part.removesuffix(".py") for path in tracked() for part in path.relative_to(ROOT).parts}
    assert not parts & {"utils", "util", "helpers", "misc", "common"}


def test_assert_is_for_tests():
    shipped = [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in (*PACKAGES, "generate.py")]
    guilty = [name_of(path) for path in shipped if any(isinstance(node, ast.Assert) for node in ast.walk(syntax(path)))]
    assert guilty == []


def test_packages_export_little_and_no_training():
    for name in PACKAGES:
        tree = syntax(ROOT / name / "__init__.py")
        imported = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert not [module for module in imported if module.rsplit(".", 1)[-1] in ("training", "cli", "module")]
        names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
        assert len(names) <= 3, f"{name}/__init__.py exports {names}"


def test_nothing_names_a_folder_of_someones_machine():
    absolute = re.compile(r"(?<![\w.])/(home|Users|root|tmp|mnt)/\w")
    texts = [path for path in tracked() if path.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".json", "")]
    guilty = {
        f"{name_of(path)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if absolute.search(line)
    }
    assert guilty == set()
