"""Role files: what is read of them, and what is wrong with them, by file, line and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.errors import InvalidExperiment
from experiments.workforce.roles import load_roles

SHIPPED = Path(__file__).parents[3] / "config" / "roles"
PM = {"role": "pm", "name": "Product Manager", "priority": 80, "system_prompt": "You plan."}
FACTS = {
    "ceo": (100, (0.8, 0.7, 0.6, 0.5, 0.4)),
    "pm": (80, (0.6, 0.8, 0.8, 0.6, 0.7)),
    "engineering_lead": (75, (0.5, 0.9, 0.6, 0.7, 0.9)),
    "designer": (70, (0.5, 0.6, 0.8, 0.9, 0.7)),
    "sales": (65, (0.8, 0.6, 0.7, 0.5, 0.5)),
    "support": (60, (0.4, 0.7, 0.9, 0.4, 0.8)),
    "simulation_analyst": (50, (0.4, 0.95, 0.7, 0.6, 0.8)),
}
"""Priority, and how assertive, analytical, collaborative, creative and detailed each is."""


def written(folder: Path, **roles) -> Path:
    for name, content in roles.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=2)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(InvalidExperiment) as caught:
        load_roles(folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_the_seven_are_there_with_their_facts():
    roles = load_roles(SHIPPED)
    assert {role.role: (role.priority, tuple(role.personality_traits.values())) for role in roles} == FACTS
    assert [role.role for role in roles] == list(FACTS)
    assert all(len(role.capabilities) == 5 and len(role.system_prompt) > 500 for role in roles)


def test_each_is_a_colleague_of_its_own():
    prompts = [role.system_prompt for role in load_roles(SHIPPED)]
    sentences = [sentence.strip() for prompt in prompts for sentence in prompt.split(".") if sentence.strip()]
    assert len(set(sentences)) == len(sentences)


def test_a_role_is_added_by_a_file(tmp_path):
    lawyer = {"role": "lawyer", "name": "General Counsel", "priority": 90, "system_prompt": "You read contracts."}
    roles = load_roles(written(tmp_path, pm=PM, lawyer=lawyer))
    assert [role.role for role in roles] == ["lawyer", "pm"]
    assert (roles[0].capabilities, roles[0].is_active) == ((), True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"priority": "high"}, 'pm.json:4: priority: "high" is not allowed: a whole number from 0 to 1,000'),
        ({"priority": 1001}, "pm.json:4: priority: 1001 is not allowed"),
        ({"personality_traits": {"bold": 2}}, "personality_traits.bold: 2 is not allowed: a number from 0 to 1"),
        ({"system_promt": "x"}, 'system_promt: unknown key; did you mean "system_prompt"?'),
        ({"role": "PM"}, 'pm.json:2: role: "PM" is not allowed'),
        ({"role": "ceo"}, 'pm.json:2: role: "ceo" is not allowed: "pm", as the file is called'),
        ({"name": ""}, 'pm.json:3: name: "" is not allowed: text in quotes that is not empty'),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(tmp_path, change, expected):
    found = problems(written(tmp_path, pm={**PM, **change}))
    assert any(expected in problem for problem in found), found


def test_what_is_missing_is_told(tmp_path):
    found = problems(written(tmp_path, pm={"role": "pm", "name": "Product Manager"}))
    assert "system_prompt: missing" in found[0]


def test_two_files_of_one_name_and_reserved_names_are_told(tmp_path):
    other = {**PM, "role": "owner", "name": "PRODUCT manager "}
    coordinator = {**PM, "role": "coordinator", "name": "Chair"}
    found = "\n".join(problems(written(tmp_path, pm=PM, owner=other, coordinator=coordinator)))
    assert "a name of its own; owner.json has this one" in found
    assert 'coordinator.json:2: role: "coordinator" is not allowed' in found


def test_a_broken_file_is_told_with_its_place(tmp_path):
    assert "pm.json:1" in problems(written(tmp_path, pm='{"role": "pm",}'))[0]


def test_an_empty_folder_is_told(tmp_path):
    assert "at least one file such as ceo.json is needed" in problems(tmp_path)[0]


def test_a_table_at_which_nobody_would_sit_is_told(tmp_path):
    assert "no role is active" in problems(written(tmp_path, pm={**PM, "is_active": False}))[0]
