"""The documentation site: a page that the navigation lacks, or a dead link, fails `make lint`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import docs_site
import pytest

import tuneguard

ROOT = Path(__file__).parents[2]
TOOL = "tools/docs_site.py"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site without a fault."""
    for name, text in {
        "mkdocs.yml": "nav: [README.md, {How-to: [one.md, {More: ['adr/*.md']}]}]\n",
        "README.md": "# Here\n[one](docs/one.md#a-part)\n",
        "docs/one.md": "# One\n## A part\n[home](../README.md) [second](adr/2.md) [out](https://example.org)\n",
        "docs/adr/1.md": "# 1\n```sh\n[[ $x ]](nothing)\n```\n",
        "docs/adr/2.md": "# 2\n[first](1.md)\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert docs_site.faults(tmp_path) == []
    return tmp_path


def test_our_site_has_no_fault():
    assert docs_site.faults(ROOT) == []


def test_a_page_that_the_navigation_lacks_is_a_fault(site):
    (site / "docs/two.md").write_text("# Two\n")

    assert docs_site.faults(site) == ["docs/two.md is not in the navigation of mkdocs.yml"]


def test_an_entry_without_a_page_or_listed_twice_is_a_fault(site):
    (site / "mkdocs.yml").write_text("nav: [README.md, one.md, gone.md, one.md, adr/*.md]\n")

    assert docs_site.faults(site) == [
        "mkdocs.yml lists gone.md, which is not there",
        "mkdocs.yml lists one.md twice",
    ]


@pytest.mark.parametrize("target", ["gone.md", "adr/1.md#no-such-part", "#no-such-part", "../README.md#gone"])
def test_a_dead_link_is_a_fault(site, target):
    with (site / "docs/one.md").open("a") as page:
        page.write(f"[dead]({target})\n")

    assert docs_site.faults(site) == [f"docs/one.md: dead link {target}"]


def test_lint_runs_the_check_with_what_the_inner_loop_installs():
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    done = subprocess.run([sys.executable, TOOL], cwd=ROOT, capture_output=True, text=True, check=False)

    assert f"python {TOOL}" in recipe
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("page", "target", "in_site"),
    [
        ("README.md", "docs/policy.md#when-a-key-ends", "policy.md#when-a-key-ends"),
        ("README.md", "docs/img/journey.svg", "img/journey.svg"),
        ("README.md", "docs/adr/", "adr/0001-records-read-strictly-by-ourselves.md"),
        ("policy.md", "../CONTRIBUTING.md", "CONTRIBUTING.md"),
        ("add/rule.md", "../../README.md#install", "../README.md#install"),
        ("add/rule.md", "../rules.md", "../rules.md"),
        ("policy.md", "#commands", "#commands"),
        ("policy.md", "https://slsa.dev/x", "https://slsa.dev/x"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(page, target, in_site):
    assert docs_site.in_site(target, page) == in_site


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "<img alt='a' src='//example/x.png'>",
        '<pre class="mermaid"><code>',
        "<style>@import url(https://fonts.example/css)</style>",
    ],
)
def test_what_loads_from_another_host_is_recognised(html):
    assert docs_site.LOADS.search(html)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="assets/x.js"></script>',
        '<link href="https://tuneguard.example/" rel="canonical">',
        '<link rel="canonical" href="https://tuneguard.example/">',
        '<a href="https://slsa.dev">SLSA</a>',
    ],
)
def test_a_link_that_a_reader_follows_loads_nothing(html):
    assert docs_site.LOADS.search(html) is None


def test_the_page_of_the_api_names_the_package():
    assert re.search(rf"^::: {tuneguard.__name__}$", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
