"""Roles of an experiment's own, and what serve and check say of wrong ones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from folders import write_settings
from servers import run_command, serving
from simulations import SCENARIO, visiting

CLI = ("-c", "from server.cli import main; main()")
LAWYER = {"role": "lawyer", "name": "General Counsel", "priority": 90, "system_prompt": "You read contracts."}
AWAY = {"role": "intern", "name": "Intern", "priority": 10, "system_prompt": "You learn.", "is_active": False}


def with_roles(folder: Path, *roles) -> Path:
    (folder / "config" / "roles").mkdir(parents=True)
    for role in roles:
        path = folder / "config" / "roles" / f"{role['role']}.json"
        path.write_text(json.dumps(role, indent=2), encoding="utf-8")
    return write_settings(folder / "config")


async def test_an_experiments_own_roles_replace_ours(tmp_path):
    with_roles(tmp_path, LAWYER, AWAY)
    async with serving(tmp_path) as server, visiting(server.http) as researcher:
        assert [each["role"] for each in (await researcher.gets("/agents/list"))["agents"]] == ["lawyer"]
        everybody = await researcher.gets("/agents/list?active_only=false")
        assert [each["role"] for each in everybody["agents"]] == ["lawyer", "intern"]
        begun = await researcher.asks("POST", "/simulate/start", {"scenario": SCENARIO})
        assert begun.json()["agents"] == ["lawyer"]
        named = {"scenario": SCENARIO, "config": {"agents": ["intern", "lawyer"]}}
        session_id = (await researcher.asks("POST", "/simulate/start", named)).json()["session_id"]
        played = await researcher.plays(session_id)
        assert [each["agent_role"] for each in played["agent_responses"]] == ["lawyer", "intern"]
        assert all(len(each["response"]) > 20 for each in played["agent_responses"])


@pytest.mark.parametrize("command", [("serve", "--port", "0", "--experiment", "config"), ("check", "config")])
async def test_a_wrong_role_file_is_told_before_anything_begins(tmp_path, command):
    with_roles(tmp_path, {**LAWYER, "priority": "high"})
    ran = await asyncio.to_thread(run_command, *CLI, *command, folder=tmp_path)
    said = ran.stdout + ran.stderr
    assert ran.returncode != 0
    assert "lawyer.json:4: priority" in said.replace("\n", "")
    assert "Traceback" not in said
