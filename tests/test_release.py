"""The script that builds a release refuses what is not one, before it builds anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Project:
    """A repository with what a release is recognized by, and nothing else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "packaging").mkdir(parents=True)
        shutil.copy(ROOT / "packaging/release", directory / "packaging")
        self.write("pyproject.toml", '[project]\nversion = "1.2.3"\n')
        self.write("CHANGELOG.md", "# Changelog\n\n## 1.2.3 - 2026-01-31\n\n- It works.\n")
        self.git("init", "--quiet")
        self.commit()

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.directory / name).write_text(text)

    def git(self, *arguments: str) -> None:
        """Run git as somebody, at a time after the date in the changelog."""
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        environment = {"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z", "HOME": "/nowhere"}
        subprocess.run(["git", *who, *arguments], cwd=self.directory, env=environment, check=True)

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=it")

    def refusal(self) -> str:
        """Return why a release is refused."""
        command = [self.directory / "packaging/release", self.directory.parent / "output"]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nowhere"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert not (self.directory.parent / "output").exists()
        return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that is ready to be tagged."""
    return Project(tmp_path / "project")


def test_a_checkout_that_differs_from_its_commit(project: Project) -> None:
    """What is built is what is committed; the files that differ are named."""
    project.git("tag", "v1.2.3")
    project.write("new-file", "")

    assert "the checkout differs from its commit; commit or remove:\nrelease: ?? new-file" in project.refusal()


def test_a_commit_without_a_tag(project: Project) -> None:
    """A tag makes the version; with two of them there is none to go by."""
    assert "the current commit has no tag" in project.refusal()
    project.git("tag", "v1.2.3")
    project.git("tag", "v1.2.4")
    assert "the current commit has several tags" in project.refusal()


def test_a_tag_of_another_version(project: Project) -> None:
    """The tag and the version in pyproject.toml agree."""
    project.git("tag", "v1.2.4")

    assert "the tag is v1.2.4, and pyproject.toml says version 1.2.3" in project.refusal()


@pytest.mark.parametrize("heading", ["Unreleased", "1.2.2 - 2026-01-31", "1.2.3", "1.2.3 - soon"])
def test_a_changelog_without_the_version_and_its_date(heading: str, project: Project) -> None:
    """The newest heading of the changelog is the version with its date."""
    project.write("CHANGELOG.md", f"# Changelog\n\n## {heading}\n\n- It works.\n")
    project.commit()
    project.git("tag", "v1.2.3")

    assert re.search(rf'begins with "## {heading}"; .* begin with "## 1\.2\.3 - YYYY-MM-DD"', project.refusal())


def test_a_date_after_the_commit(project: Project) -> None:
    """A release is not dated ahead."""
    project.write("CHANGELOG.md", "# Changelog\n\n## 1.2.3 - 2027-01-01\n")
    project.commit()
    project.git("tag", "v1.2.3")

    assert "CHANGELOG.md dates 1.2.3 2027-01-01, after its commit of 2026-01-31" in project.refusal()
