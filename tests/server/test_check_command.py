"""`chatroom check` and `chatroom diff`, as a researcher types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from folders import write_settings
from servers import run_command

CHATROOM = ("-c", "from server.cli import main; main()")
EXAMPLES = Path(__file__).parents[2] / "config" / "examples"

SHARED = "You live in Mill Lane and talk about its new cycle lane as people do. {}Keep it short, and stay in your part."
CIVIL = SHARED.format("Be friendly, also where you disagree. ")
RUDE = SHARED.format("Be rude, above all where you disagree. ")
CONDITIONS = {
    "civil": {},
    "uncivil": {"prompt_template": RUDE, "personas": {"Bob": {"description": "Likes a fight."}}},
}
DESIGN: dict[str, Any] = {"experiment_id": "mill-lane", "prompt_template": CIVIL, "conditions": CONDITIONS}


def chatroom(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    shown: subprocess.CompletedProcess[str] = run_command(*CHATROOM, *command, folder=folder, environment=environment)
    assert "Traceback" not in shown.stderr
    return shown


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path / "config", experimental=DESIGN)
    return tmp_path


def checked(folder: Path, **environment: str) -> dict[str, Any]:
    shown = chatroom("check", "config", "--json", folder=folder, **environment)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


class TestProblems:
    @pytest.fixture
    def wrong(self, tmp_path: Path) -> Path:
        conditions = {"civil": {"gait": True}, "uncivil": {"simulation": {"messages_per_minute": -1}}}
        write_settings(tmp_path / "config", num_agents=4, experimental={"conditions": conditions})
        return tmp_path

    def test_every_problem_is_told_at_its_place_as_serve_tells_it(self, wrong: Path):
        shown = chatroom("check", folder=wrong)
        assert shown.returncode == 2
        told = shown.stderr.splitlines()
        for part in (
            "config/simulation_settings.json:1: num_agents: 4 is not allowed: agent_names has 5 names",
            'config/experimental_settings.json:1: conditions.civil.gait: unknown key; did you mean "gate"?',
            "config/experimental_settings.json:1: conditions.uncivil.simulation.messages_per_minute: -1",
        ):
            assert sum(line.startswith(part) for line in told) == 1
        assert told[-1].startswith("3 problems")
        served = chatroom("serve", folder=wrong)
        assert served.stderr.splitlines()[:3] == told[:3]

    def test_for_machines(self, wrong: Path):
        shown = chatroom("check", "--json", folder=wrong)
        assert shown.returncode == 2
        problems = json.loads(shown.stdout)["problems"]
        assert len(problems) == 3
        assert {*problems[0]} == {"file", "line", "key", "message"}

    def test_a_folder_that_is_not_there(self, tmp_path: Path):
        shown = chatroom("check", "none", folder=tmp_path)
        assert (shown.returncode, shown.stderr.count("the file is missing")) == (2, 2)


class TestCheck:
    def test_a_reviewer_is_told_what_it_is(self, folder: Path):
        design = DESIGN | {
            "assignment": {"block_size": 8, "strata": ["cohort"], "quotas": {"civil": 60, "uncivil": 60}, "seed": 7},
            "entry": {"mode": "panel", "panel": "prolific", "opens_at": "2026-12-01T09:00:00+01:00"},
        }
        write_settings(folder / "config", experimental=design)
        shown = chatroom("check", folder=folder)
        assert (shown.returncode, shown.stderr) == (0, "")
        for part in (
            "mill-lane in config",
            "permuted blocks of 8 (4 of each), one list for each value of cohort, seed 7",
            "60 each: 120 completed sessions",
            "panel: whom prolific sends, told apart by PROLIFIC_PID",
            "from 2026-12-01 09:00+01:00",
            "! completion.completed is missing",
        ):
            assert part in words(shown.stdout)
        assert checked(folder)["content_sha256"] in shown.stdout

    def test_conditions_are_set_beside_one_another_where_they_differ(self, folder: Path):
        shown = words(chatroom("check", folder=folder).stdout)
        for part in ("setting civil uncivil", "Be friendly,", "personas.Bob.description", "Nothing else differs."):
            assert part in shown
        assert "You live" not in shown, "what they share is left out"
        (contrast,) = checked(folder)["differences"]
        assert {each["key"]: each["values"] for each in contrast["settings"]} == {
            "prompt_template": {"civil": CIVIL, "uncivil": RUDE},
            "personas.Bob.description": {"civil": "", "uncivil": "Likes a fight."},
        }

    def test_factors_are_told_one_by_one(self, folder: Path):
        factors = {
            "tone": {"civil": {}, "rude": {"prompt_template": RUDE}},
            "pace": {"slow": {}, "fast": {"simulation": {"messages_per_minute": 9}}},
        }
        write_settings(folder / "config", experimental={"prompt_template": CIVIL, "factors": factors})
        shown = words(chatroom("check", folder=folder).stdout)
        assert "By tone alone setting civil rude" in shown
        assert "By pace alone setting slow fast" in shown
        assert "messages_per_minute 6 9" in shown

    def test_many_conditions_stand_below_one_another(self, folder: Path):
        conditions = {f"condition-{n}": {"simulation": {"messages_per_minute": n}} for n in range(1, 12)}
        write_settings(folder / "config", experimental={"conditions": conditions})
        shown = chatroom("check", folder=folder)
        assert "messages_per_minute condition-1 1 condition-2 2" in words(shown.stdout)
        assert max(map(len, shown.stdout.splitlines())) <= 100

    @pytest.mark.parametrize("columns", ["80", "100", "120"])
    def test_it_fits_into_the_columns_that_there_are(self, folder: Path, columns: str):
        shown = chatroom("check", folder=folder, COLUMNS=columns)
        lines = shown.stdout.splitlines()
        assert max(map(len, lines)) <= max(int(columns), 100)
        assert all(line == line.rstrip() for line in lines), "nothing that is seen only where it is pasted"
        assert "\x1b" not in shown.stdout, "no colour in a pipe"

    def test_texts_are_shown_as_they_are_and_do_not_command_the_terminal(self, folder: Path):
        conditions = {"a": {}, "b": {"prompt_template": "[bold]Hello[/bold]\n\n[/nothing] \x1b[31mred \u65e5\u672c"}}
        write_settings(folder / "config", experimental={"experiment_id": "[/red]", "conditions": conditions})
        shown = chatroom("check", folder=folder, PYTHONIOENCODING="ascii")
        assert shown.returncode == 0, shown.stderr
        for part in ("[bold]Hello[/bold]", "[/nothing]", "\\u65e5\\u672c", "[/red]"):
            assert part in shown.stdout
        assert "\x1b" not in shown.stdout

    def test_one_condition(self, tmp_path: Path):
        write_settings(tmp_path / "config")
        shown = words(chatroom("check", folder=tmp_path).stdout)
        assert "Nothing: there is one condition." in shown
        assert "100 sessions (no quotas say how many there will be)" in shown

    def test_conditions_that_do_not_differ(self, folder: Path):
        write_settings(folder / "config", experimental={"conditions": {"a": {}, "b": {}}})
        shown = words(chatroom("check", folder=folder).stdout)
        assert "Nothing differs." in shown
        assert "conditions a and b do not differ" in shown

    def test_a_gate_is_said_to_come_before_the_figures(self, folder: Path):
        write_settings(folder / "config", experimental=DESIGN | {"gate": True})
        shown = words(chatroom("check", folder=folder).stdout)
        assert "figures hold from the participant's first message" in shown

    def test_limits_stand_beside_what_is_expected(self, folder: Path):
        write_settings(folder / "config", experimental=DESIGN, budget={"calls_per_session": 50, "calls_per_day": 5000})
        shown = words(chatroom("check", folder=folder).stdout)
        assert "budget.calls_per_session 50 104 (civil) 48% of a session" in shown
        assert "budget.calls_per_day 5,000 48 sessions a day" in shown
        assert "! budget.calls_per_session: 50 will be reached" in shown
        assert [limit["reached"] for limit in checked(folder)["limits"]] == [True, False]


class TestModels:
    def test_a_model_without_a_key_is_a_warning_and_has_its_price(self, folder: Path):
        chosen = {"provider": "gemini", "model": "gemini-2.5-flash", "requests_per_minute": 60}
        write_settings(folder / "config", experimental=DESIGN, language_model=chosen)
        shown = chatroom("check", folder=folder)
        assert shown.returncode == 0
        assert "! serve will refuse: GEMINI_API_KEY: missing" in words(shown.stdout)
        found = checked(folder)
        assert found["conditions"]["civil"]["model"] == "gemini:gemini-2.5-flash"
        assert 0.005 < found["conditions"]["civil"]["per_session"]["cost"] < 0.05
        assert found["sessions_at_once"] == pytest.approx(60 / 104 * 15, rel=0.02)

    def test_the_environment_settles_the_model(self, folder: Path):
        found = checked(folder, GROQ_API_KEY="k", LLM_MODEL="llama-3.1-8b-instant")
        assert found["conditions"]["civil"]["model"] == "groq:llama-3.1-8b-instant"
        assert found["model_chosen"] == "GROQ_API_KEY is set"

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            ({"LLM_PROVIDER": "oracle"}, "serve will refuse: LLM_PROVIDER: 'oracle' is not allowed"),
            ({"PORT": "high"}, "serve will refuse: PORT"),
            ({"LLM_PROVIDER": "gemini", "GEMINI_API_KEY": "k"}, "serve will refuse: LLM_MODEL: missing"),
            ({"LLM_PROVIDER": "recorded"}, "serve will refuse: language model: recorded needs language_model.log"),
        ],
    )
    def test_what_serve_will_refuse_is_warned_of(self, folder: Path, environment, message):
        shown = chatroom("check", folder=folder, **environment)
        assert shown.returncode == 0
        assert message in words(shown.stdout)

    def test_a_bad_list_of_prices_and_a_bad_script_stop_nothing(self, folder: Path):
        write_settings(folder / "config", language_model={"provider": "scripted", "script": "prices.json"})
        (folder / "config" / "prices.json").write_text("{}")
        shown = chatroom("check", folder=folder)
        assert shown.returncode == 0
        assert "prices.json: date, currency and models" in words(shown.stdout)
        assert "serve will refuse: language model: " in words(shown.stdout)


class TestDiff:
    def changed(self, folder: Path, design: dict[str, Any] | None = None, **changes: Any) -> None:
        write_settings(folder / "new", experimental=DESIGN | (design or {}), **changes)

    def test_the_same_folder(self, folder: Path):
        shown = chatroom("diff", "config", "config", folder=folder)
        assert shown.returncode == 0
        assert "byte for byte" in shown.stdout

    def test_another_layout_and_another_note(self, folder: Path):
        self.changed(folder, {"note": "for the reviewers"})
        shown = chatroom("diff", "config", "new", folder=folder)
        assert shown.returncode == 0
        assert "No difference in content" in shown.stdout
        assert "note — → for the reviewers" in words(shown.stdout)

    def test_a_default_written_out(self, folder: Path):
        self.changed(folder, {"gate": False})
        shown = chatroom("diff", "config", "new", folder=folder)
        assert shown.returncode == 0
        assert "No difference in content: sessions run on the same settings." in words(shown.stdout)

    def test_what_changed_is_told_word_by_word_and_once(self, folder: Path):
        longer = CIVIL.replace("Keep it short", "Keep it very short")
        conditions = {**CONDITIONS, "uncivil": {"prompt_template": longer}}
        self.changed(folder, {"prompt_template": longer, "conditions": conditions}, messages_per_minute=9)
        shown = chatroom("diff", "config", "new", folder=folder)
        assert shown.returncode == 1
        for part in (
            "In every condition messages_per_minute 6 → 9",
            "In condition civil prompt_template … where you disagree. Keep it {+very+} short, and stay in your",
            "In condition uncivil prompt_template",
            "[-rude, above all-]",
            "personas.Bob.description",
        ):
            assert part in words(shown.stdout)
        assert shown.stdout.count("messages_per_minute") == 1

    def test_conditions_that_came_went_and_were_renamed(self, folder: Path):
        conditions = {"polite": {}, "loud": {"simulation": {"messages_per_minute": 20}}}
        self.changed(folder, {"conditions": conditions})
        shown = chatroom("diff", "config", "new", folder=folder)
        assert shown.returncode == 1
        for part in (
            "1 condition added, 1 condition removed and 1 condition renamed",
            "Condition civil is called polite now; it is the same",
            "Condition loud was added conditions.loud.simulation.messages_per_minute 20",
            "Condition uncivil was removed",
        ):
            assert part in words(shown.stdout)

    def test_a_change_of_a_level_is_told_as_that(self, folder: Path):
        factors = {"tone": {"civil": {}, "rude": {"prompt_template": RUDE}}, "stance": {"pro": {}, "contra": {}}}
        other = {**factors, "tone": {"civil": {}, "rude": {"prompt_template": RUDE.replace("rude", "harsh")}}}
        for name, each in (("config", factors), ("new", other)):
            write_settings(folder / name, experimental={"prompt_template": CIVIL, "factors": each})
        shown = chatroom("diff", "config", "new", folder=folder)
        assert "In every condition with tone rude prompt_template" in words(shown.stdout)
        assert "[-rude,-] {+harsh,+}" in words(shown.stdout)

    def test_for_machines(self, folder: Path):
        self.changed(folder, {"gate": True}, agent_names=["Alice", "Bob", "Charlie", "Diana", "Eva"])
        shown = chatroom("diff", "config", "new", "--json", folder=folder)
        assert shown.returncode == 1
        found = json.loads(shown.stdout)
        assert found["old"]["content_sha256"] == checked(folder)["content_sha256"]
        assert found["same_content"] is False
        changes = {change["key"]: change for change in found["changes"]}
        assert {*changes} == {"gate", "agent_names", "personas.Eve", "personas.Eva"}
        assert changes["agent_names"]["in_words"] == "Alice, Bob, Charlie, Diana [-Eve-] {+Eva+}"
        assert "new" not in changes["personas.Eve"]
        assert changes["gate"]["conditions"] == ["civil", "uncivil"]

    def test_one_that_cannot_be_read(self, folder: Path):
        self.changed(folder, num_agents=1)
        shown = chatroom("diff", "config", "new", folder=folder)
        assert shown.returncode == 2
        assert "new/simulation_settings.json:1: num_agents" in shown.stderr


@pytest.mark.parametrize("name", ["minimal", "civility", "factorial"])
def test_the_examples_are_checked(tmp_path: Path, name: str):
    shown = chatroom("check", str(EXAMPLES / name), folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    marked = [line for line in shown.stdout.splitlines() if line.startswith("  ! ")]
    assert all("left to be filled in" in line or "speak from a script" in line for line in marked), marked
