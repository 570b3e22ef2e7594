"""What is built from the package, what its installation leaves, and what its pages and errors advise."""

from pathlib import Path
import re
import subprocess
import sys
import tarfile
import textwrap
import zipfile

import pytest
from server import ROOT

PACKAGE = ROOT / "Sources" / "python"
LICENSE = (ROOT / "LICENSE").read_bytes()


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it; without the network, with the build backend that is installed here."""
    out = tmp_path_factory.mktemp("dist")
    before = contents(PACKAGE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, PACKAGE]
    subprocess.run(command, check=True, capture_output=True)
    after = contents(PACKAGE)
    assert after == before, sorted(set(after) ^ set(before))
    return out


def test_wheel_and_sdist_carry_the_licence_and_all_of_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    modules = {str(path.relative_to(PACKAGE)) for path in contents(PACKAGE / "hubaudit")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert modules <= names
        (licence,) = [name for name in names if name.endswith("/licenses/LICENSE")]
        assert archive.read(licence) == LICENSE
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    assert re.search(r"^License-Expression: Apache-2.0$", text, re.MULTILINE)
    assert re.search(r"^License-File: LICENSE$", text, re.MULTILINE)
    assert re.search(r"^Requires-Dist: ag2\s*>=1\.0 ?; extra == .ag2.$", text, re.MULTILINE), text
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
        assert modules | {"LICENSE", "README.md", "pyproject.toml"} <= inside
        member = archive.extractfile(next(name for name in archive.getnames() if name.endswith("/LICENSE")))
        assert member is not None and member.read() == LICENSE


def test_installing_from_the_tree_leaves_nothing_in_it(tmp_path: Path) -> None:
    before = contents(PACKAGE)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", tmp_path / "site", PACKAGE]
    subprocess.run(command, check=True, capture_output=True)
    after = contents(PACKAGE)
    assert after == before, sorted(set(after) ^ set(before))
    assert (tmp_path / "site" / "hubaudit" / "py.typed").exists()
    for path, content in contents(PACKAGE / "hubaudit").items():
        assert (tmp_path / "site" / path.relative_to(PACKAGE)).read_bytes() == content


def test_no_page_and_no_error_advises_to_install_a_name_that_is_not_ours_yet() -> None:
    pages = [ROOT / "README.md", *(ROOT / "Documentation").rglob("*.md"), *PACKAGE.rglob("*.md"), *PACKAGE.rglob("*.py"), *(ROOT / "Proto").rglob("*.md")]
    for page in pages:
        for line in page.read_text().splitlines():
            # From a folder of the tree it is ours.
            assert not re.search(r"pip install (-\S+ )*['\"]?hubaudit", line), f"{page.relative_to(ROOT)}: {line}"


@pytest.mark.parametrize(
    ("missing", "statement", "advice"),
    [
        ("ag2", "import hubaudit.ag2", r"hubaudit\[ag2\].*ag2>=1\.0"),
        ("cryptography", "import hubaudit; hubaudit.Client('h', verifier_key='k')", r"hubaudit\[verify\].*cryptography"),
    ],
)
def test_an_extra_that_is_not_installed_is_named(missing: str, statement: str, advice: str) -> None:
    program = f"import sys\nsys.path.insert(0, {str(PACKAGE)!r})\nsys.modules[{missing!r}] = None\n{textwrap.dedent(statement)}\n"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1
    assert re.search(rf"ImportError: .*{advice}", result.stderr.splitlines()[-1]), result.stderr
