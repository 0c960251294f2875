"""The house's rules: which package may import which, and what stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "peft")
ALLOWED = {"scoring": set(), "cascade": {"scoring"}, "webapp": {"scoring", "cascade", "migrations"}}


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for everything a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for module, _ in imports_of(path):
            top = module.partition(".")[0]
            if top in {"scoring", "cascade", "webapp", "benchmarks", "tests"} - {package}:
                assert top in ALLOWED[package], f"{path} imports {module}"


def test_cascade_takes_only_the_customer_from_scoring() -> None:
    for path in (ROOT / "cascade").rglob("*.py"):
        for module, name in imports_of(path):
            if module.partition(".")[0] == "scoring":
                assert module == "scoring.customer", f"{path} imports {module}"
                assert name in {"Customer", "Feature"}, f"{path} imports {name}"


@pytest.mark.parametrize("statement", ["import scoring", "import cascade", "import webapp"])
def test_packages_import_without_torch(statement: str) -> None:
    check = f"{statement}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_app_is_built_without_torch(tmp_path: Path) -> None:
    check = (
        "import sys; from webapp import Settings, create_app\n"
        "create_app(Settings.from_env(), open_desk=False)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", check],
        cwd=ROOT,
        env={"FRUGALDESK_VAR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_only_settings_reads_the_environment() -> None:
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "settings.py":
                source = path.read_text()
                assert "os.environ" not in source, path
                assert "getenv" not in source, path
