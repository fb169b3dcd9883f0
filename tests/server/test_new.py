"""`chatroom new`: a folder of one's own, made after an example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.errors import FolderExists, NotMade, UnknownExample
from experiments.experiment import load_experiment
from experiments.folders import MAX_ID_CHARACTERS, example_names, make_folder
from experiments.settings.base import EXPERIMENTAL_FILE, SIMULATION_FILE
from server.errors import InvalidSettings
from server.making import make

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = CONFIG / "examples"
SCHEMA = CONFIG / "schema"
NAMES = ("civility", "factorial", "minimal")


def made(target: Path, example: str = "minimal") -> Path:
    make_folder(target, example, EXAMPLES, SCHEMA)
    return target


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("example", NAMES)
class TestTheFolder:
    def test_is_an_experiment_of_its_own_name(self, tmp_path: Path, example: str):
        experiment = load_experiment(made(tmp_path / "my-study", example))
        assert experiment.experiment_id == "my-study"
        assert all("left to be filled in" in warning for warning in experiment.warnings)

    def test_says_what_the_example_says_but_for_id_and_schema(self, tmp_path: Path, example: str):
        folder = made(tmp_path / "my-study", example)
        for file in (SIMULATION_FILE, EXPERIMENTAL_FILE):
            theirs = read(EXAMPLES / example / file) | {"$schema": f"schema/{file.replace('.json', '.schema.json')}"}
            ours = {"experiment_id": "my-study"} if file == EXPERIMENTAL_FILE else {}
            assert read(folder / file) == theirs | ours

    def test_keeps_the_layout(self, tmp_path: Path, example: str):
        folder = made(tmp_path / "my-study", example)
        for file in (SIMULATION_FILE, EXPERIMENTAL_FILE):
            lines = (EXAMPLES / example / file).read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if '"$schema"' not in line and '"experiment_id"' not in line]
            new = (folder / file).read_text(encoding="utf-8").splitlines()
            assert [line for line in new if line in kept] == kept
            assert len(new) == len(kept) + (2 if file == EXPERIMENTAL_FILE else 1)

    def test_brings_the_schemas_along(self, tmp_path: Path, example: str):
        folder = made(tmp_path / "my-study", example)
        for file in (SIMULATION_FILE, EXPERIMENTAL_FILE):
            schema = folder / read(folder / file)["$schema"]
            assert schema.read_bytes() == (SCHEMA / schema.name).read_bytes()


def test_every_example_can_be_had():
    assert example_names(EXAMPLES) == sorted(NAMES)


def test_the_files_are_named(tmp_path: Path):
    files = make_folder(tmp_path / "new", "minimal", EXAMPLES, SCHEMA)
    assert {str(path.relative_to(tmp_path / "new")) for path in files} == set(everything_in(tmp_path / "new"))


def test_folders_on_the_way_are_made(tmp_path: Path):
    assert load_experiment(made(tmp_path / "studies" / "2027" / "first")).experiment_id == "first"


def test_an_empty_folder_may_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert load_experiment(made(Path())).experiment_id == "empty"


@pytest.mark.parametrize("name", ["Zürich 1", 'the "best" one', "back\\slash", "日本", "a" * MAX_ID_CHARACTERS])
def test_names_are_taken_as_they_are(tmp_path: Path, name: str):
    assert load_experiment(made(tmp_path / name, "civility")).experiment_id == name


class TestNothingIsTouched:
    def test_where_files_are(self, tmp_path: Path):
        folder = made(tmp_path / "mine")
        before = everything_in(folder)
        with pytest.raises(FolderExists, match="there are files in it"):
            made(folder, "civility")
        assert everything_in(folder) == before

    def test_where_a_single_hidden_file_is(self, tmp_path: Path):
        (tmp_path / ".git").touch()
        with pytest.raises(FolderExists):
            made(tmp_path)
        assert set(everything_in(tmp_path)) == {".git"}

    def test_where_a_file_has_the_name(self, tmp_path: Path):
        (tmp_path / "mine").write_text("thesis")
        with pytest.raises(FolderExists, match="a file of this name"):
            made(tmp_path / "mine")
        assert (tmp_path / "mine").read_text() == "thesis"

    def test_where_a_link_leads_nowhere(self, tmp_path: Path):
        (tmp_path / "mine").symlink_to(tmp_path / "gone")
        with pytest.raises(FolderExists):
            made(tmp_path / "mine")
        assert not (tmp_path / "gone").exists()

    @pytest.mark.parametrize("name", ["a" * (MAX_ID_CHARACTERS + 1), "two\nlines", "lone\udcff"])
    def test_where_the_name_cannot_stand_in_a_log(self, tmp_path: Path, name: str):
        with pytest.raises(NotMade, match="visible characters"):
            made(tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("example", ["civilty", "", ".", "../schema", "../examples/civility"])
    def test_where_there_is_no_such_example(self, tmp_path: Path, example: str):
        with pytest.raises(UnknownExample, match="one of civility, factorial, minimal"):
            made(tmp_path / "mine", example)
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "thesis").touch()
    with pytest.raises(NotMade, match=r"thesis/mine: cannot be made: Not a directory"):
        made(tmp_path / "thesis" / "mine")
    with pytest.raises(NotMade, match="cannot be made: File name too long"):
        made(tmp_path / ("a" * 300) / "mine")


class TestWhatIsPrinted:
    def test_the_files_the_conditions_and_the_next_commands(self, tmp_path: Path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make(Path("my-study"), "factorial")
        shown = capsys.readouterr().out
        for path in everything_in(tmp_path):
            assert f"  {path}\n" in shown
        for part in (
            "Conditions: civil_supportive, civil_opposed, uncivil_supportive, uncivil_opposed\n",
            "[square brackets]",
            "  chatroom check my-study\n  chatroom rehearse my-study\n  chatroom serve --experiment my-study\n",
        ):
            assert part in shown

    def test_nothing_is_to_be_replaced_where_nothing_is_to_be_read(self, tmp_path: Path, capsys):
        make(tmp_path / "mine", "minimal")
        shown = capsys.readouterr().out
        assert "Condition: default" in shown
        assert "square brackets" not in shown

    def test_commands_can_be_copied_whole_whatever_the_name(self, tmp_path: Path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        name = f"[bold] {'my very long study ' * 4}".strip()
        make(Path(name), "minimal")
        assert f"  chatroom serve --experiment '{name}'\n" in capsys.readouterr().out

    def test_a_folder_that_is_there_is_a_problem_to_be_told(self, tmp_path: Path):
        made(tmp_path / "mine")
        with pytest.raises(InvalidSettings, match="mine: there are files in it"):
            make(tmp_path / "mine", "civility")

    def test_an_unknown_example_is_told_with_those_that_there_are(self, tmp_path: Path):
        with pytest.raises(InvalidSettings, match="--like: 'sivility' is not allowed: one of civility, factorial, min"):
            make(tmp_path / "mine", "sivility")
