"""What the README says is so: its tables, its commands, its study, its picture."""

import re
import shlex

import pytest
import typer

from engine.cli import app
from engine.resolve import resolve
from engine.studies import parse_choice, parse_study
from tests.measured import TABLES
from tests.readme import README, commands, with_tables

TEXT = README.read_text("utf-8")


def test_tables_are_those_of_the_registries() -> None:
    assert with_tables(TEXT) == TEXT, "run: python -m tests.readme"


def test_every_recorded_table_has_rows() -> None:
    recorded = re.findall(r"<!-- table:measured_\w+ -->\n((?:\|.*\n)*)", TEXT)
    assert len(recorded) == len(TABLES)
    assert all(len(table.splitlines()) > 2 for table in recorded)


def test_every_command_of_the_program_is_shown() -> None:
    shown = {line.split()[1] for line in commands(TEXT)}
    assert shown == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("line", commands(TEXT))
def test_a_command_is_understood(line: str) -> None:
    group = typer.main.get_command(app)
    name, *arguments = shlex.split(line)[1:]
    context = group.commands[name].make_context(name, arguments)
    if name == "run" and "/" not in context.params["model"]:
        steps = [parse_choice(text) for text in context.params["technique"]]
        resolve(model=context.params["model"], techniques=steps, backend=parse_choice(context.params["backend"]))


def test_the_study_is_a_study() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(parse_study(text.replace("threads=2", "threads=1"), "README.md").experiments) == 3


def test_make_targets_exist() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)`?", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", TEXT)
    assert pictures
    for picture in pictures:
        assert (README.parent / picture).is_file(), picture
