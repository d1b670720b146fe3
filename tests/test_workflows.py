"""The workflow files: they parse, they run what a person runs, and have few permissions."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.cli import main as cli

HERE = Path(__file__).resolve().parents[1]
FILES = sorted((HERE / ".github" / "workflows").glob("*.yml"))
MODULE = [".venv/bin/python", "-m", "export"]
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def workflow(name: str) -> dict[str, Any]:
    (file,) = [file for file in FILES if file.stem == name]
    return read(file)


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def events(document: dict[str, Any]) -> dict[str, Any]:
    return document[True]  # YAML 1.1 takes the key `on` for true


def jobs(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return document["jobs"]


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def make_targets() -> set[str]:
    text = (HERE / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE))


def export_commands() -> set[str]:
    (choices,) = [
        action.choices
        for action in cli.make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return set(choices)


def fault_of(command: str) -> str:
    """Why a command is not one that people run too; empty: a make target or a command of ours."""
    words = shlex.split(command)
    if words[:1] == ["make"]:
        unknown = [word for word in words[1:] if word not in make_targets() and "=" not in word]
        return f"no target {', '.join(unknown)}" if unknown or len(words) == 1 else ""
    if words[:3] == MODULE:
        return "" if words[3:4] and words[3] in export_commands() else "no command of export"
    return "neither make nor python -m export"


def test_there_are_two_workflows() -> None:
    assert [file.stem for file in FILES] == ["parity", "release"]


@each_file
def test_every_command_is_one_that_a_person_runs(file: Path) -> None:
    found = [command for job in jobs(read(file)).values() for command in commands(job)]
    assert len(found) > 3
    assert {command: fault_of(command) for command in found} == dict.fromkeys(found, "")


@pytest.mark.parametrize(
    "command",
    [
        "make",
        "make paritty",
        "make parity && make test",
        "for x in 1 2; do make parity; done",
        ".venv/bin/python -m export chek",
        ".venv/bin/python -m export",
        "pip install torch",
    ],
)
def test_other_commands_would_be_found(command: str) -> None:
    assert fault_of(command)


@each_file
def test_every_action_is_pinned_by_its_commit(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert len(used) > 3
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_an_action_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for file in FILES:
        for name, version in re.findall(r"uses: (\S+)@(.*)", file.read_text(encoding="utf-8")):
            versions.setdefault(name, set()).add(version)
    assert {name for name, found in versions.items() if len(found) > 1} == set()


@each_file
def test_nothing_may_write_but_the_job_that_publishes(file: Path) -> None:
    document = read(file)
    assert document["permissions"] == {"contents": "read"}
    for name, job in jobs(document).items():
        expected = {"contents": "write", "id-token": "write", "attestations": "write"}
        assert job.get("permissions") == (expected if name == "publish" else None)
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


@each_file
def test_every_job_has_an_end_and_every_workflow_its_turn(file: Path) -> None:
    document = read(file)
    assert document["concurrency"]["group"]
    assert all(0 < job["timeout-minutes"] <= 120 for job in jobs(document).values())


@each_file
def test_no_expression_is_expanded_into_a_command(file: Path) -> None:
    """What an event says (a branch's name) goes through the environment, never into a shell."""
    for job in jobs(read(file)).values():
        assert not any("${{" in command for command in commands(job))


def test_parity_is_checked_on_three_kinds_of_machine_on_every_push_and_pull_request() -> None:
    document = workflow("parity")
    assert events(document).keys() >= {"push", "pull_request"}
    matrix = jobs(document)["parity"]["strategy"]["matrix"]["include"]
    machines = {entry["machine"]: entry["strict"] for entry in matrix}
    # Where Core ML runs it must run: strict counts what was not run as failed.
    assert machines == {"ubuntu-24.04": "1", "ubuntu-24.04-arm": "", "macos-15": "1"}
    assert "make parity" in commands(jobs(document)["parity"])


def test_reports_are_kept_also_of_a_check_that_failed() -> None:
    for name, job in (("parity", "parity"), ("release", "prove")):
        steps = jobs(workflow(name))[job]["steps"]
        kept = [step for step in steps if "build/parity/" in str(step.get("with", {}).get("path"))]
        assert [step["if"] for step in kept] == ["always()"]


def test_a_release_is_of_a_tag_and_proven_before_it_is_published() -> None:
    document = workflow("release")
    assert events(document) == {"push": {"tags": ["v*"]}}
    publish = jobs(document)["publish"]
    assert set(publish["needs"]) == jobs(document).keys() - {"publish"}
    proven = ["make check", "make rebuild", "make parity", "make archives"]
    assert commands(jobs(document)["prove"]) == proven  # nothing is archived that failed before
    assert commands(jobs(document)["core-ml"]) == ["make parity"]
    assert all(jobs(document)[name]["env"]["STRICT"] == "1" for name in publish["needs"])
    used = [step.get("uses", step.get("run", "")).split("@")[0] for step in publish["steps"]]
    attested = used.index("actions/attest-build-provenance")
    assert used.index("actions/download-artifact") < attested < used.index("make publish-archives")


def test_a_release_that_is_there_is_not_changed() -> None:
    done = dry_run("publish-archives", "TAG=v1.2.3")
    assert 'gh release create "v1.2.3" --verify-tag' in done
    for word in ("--clobber", "upload", "edit", "delete", "--target"):
        assert word not in done
    text = (HERE / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "overwrite" not in text


def test_the_targets_call_commands_that_exist() -> None:
    for target in ("parity", "verify", "rebuild", "archives"):
        lines = dry_run(target, "STRICT=1", "TAG=v1.2.3").splitlines()
        calls = [shlex.split(line) for line in lines if line.startswith(".venv/bin/python -m")]
        assert calls, target
        for call in calls:
            if call[2] == "export":
                cli.make_parser().parse_args(call[3:])  # exits where an option does not exist
    assert "--strict" in dry_run("parity", "STRICT=1")
    assert "--strict" not in dry_run("parity")
    assert "--tag v1.2.3" in dry_run("archives", "TAG=v1.2.3")


def dry_run(target: str, *values: str) -> str:
    command = ["make", "--dry-run", "--no-print-directory", target, *values]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ").replace("\t", "")


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="`make setup` installs it")
def test_the_files_are_workflows_by_their_schema() -> None:
    """Validated by the schema that comes with check-jsonschema: no network."""
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.github-workflows", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
