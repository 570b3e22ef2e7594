"""Every planted fault of Tests/Mutants can still be planted, so that a change of the code takes its faults along."""

import pathlib
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MUTANTS = tomllib.loads((ROOT / "Tests" / "Mutants" / "mutants.toml").read_text())["mutant"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_the_text_that_a_fault_replaces_is_there_once(mutant):
    for edit in mutant["edit"]:
        assert (ROOT / edit["file"]).read_text().count(edit["old"]) == 1, edit["file"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_the_files_of_tests_that_are_to_see_a_fault_are_there(mutant):
    assert "swift" in mutant or "pytest" in mutant
    for word in mutant.get("pytest", "").split():
        if word.endswith(".py") or ".py::" in word:
            assert (ROOT / "Tests" / word.split("::")[0]).is_file(), word
