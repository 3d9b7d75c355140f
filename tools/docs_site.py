"""The documentation site: which pages it has, and that nothing in them is dead.

    python tools/docs_site.py     what `make lint` runs: every page is in the navigation, no link is dead

`make docs` loads this file as a hook of MkDocs (mkdocs.yml). The hook adds the pages that lie beside docs/,
points their links into the site, and refuses a page that loads anything from another host.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "mkdocs.yml"
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
"""Pages of the site that lie beside docs/."""
LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LOADS = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|<pre class=[\"']?mermaid[^>]*"  # the theme fetches the program that draws it
    r"|@import[^;]*//[^;]*|url\([\"']?(?:https?:)?//[^)]*"
)
"""What makes a browser fetch from another host when it shows a page."""


def main() -> int:
    """Print what is wrong, one line each."""
    found = faults(ROOT)
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if found else 0


def faults(root: Path) -> list[str]:
    """Pages that the navigation lacks, entries without a page, and dead links."""
    pages = pages_of(root)
    listed = entries(yaml.safe_load((root / CONFIG).read_text())["nav"], root)
    twice = sorted({entry for entry in listed if listed.count(entry) > 1})
    return [
        *(f"{place(page)} is not in the navigation of {CONFIG}" for page in pages if page not in listed),
        *(f"{CONFIG} lists {entry}, which is not there" for entry in listed if entry not in pages),
        *(f"{CONFIG} lists {entry} twice" for entry in twice),
        *(f"{place(page)}: dead link {target}" for page in pages for target in dead(root, place(page))),
    ]


def pages_of(root: Path) -> list[str]:
    """The pages of the site, by their names in the navigation."""
    inside = [path.relative_to(root / "docs").as_posix() for path in sorted(root.glob("docs/**/*.md"))]
    return [*(name for name in BESIDE if (root / name).exists()), *inside]


def place(page: str) -> str:
    """Where a page of the site lies in the repository."""
    return page if page in BESIDE else f"docs/{page}"


def entries(nav: list | dict | str, root: Path) -> list[str]:
    """The pages that a navigation names, patterns resolved."""
    if isinstance(nav, str):
        return resolved(nav, root)
    parts = nav.values() if isinstance(nav, dict) else nav
    return [entry for part in parts for entry in entries(part, root)]


def resolved(entry: str, root: Path) -> list[str]:
    """The pages that an entry stands for."""
    if "*" not in entry:
        return [entry]
    return [path.relative_to(root / "docs").as_posix() for path in sorted((root / "docs").glob(entry))]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", text)


def links(text: str) -> list[str]:
    """The relative links of a page."""
    targets = [target for _, target, _ in LINK.findall(prose(text))]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as renderers of Markdown do."""
    headings = re.findall(r"^#+ +(.+?)\s*$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(root: Path, page: str) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    found = []
    for target in links((root / page).read_text()):
        path, _, anchor = target.partition("#")
        leads_to = (root / page).parent / path if path else root / page
        if not leads_to.exists() or (anchor and anchor not in anchors(leads_to)):
            found.append(target)
    return found


# --- The hook of MkDocs -------------------------------------------------------------------------------


def on_config(config):
    """The navigation with its patterns resolved."""
    config["nav"] = with_pages(config["nav"])
    return config


def with_pages(nav: list) -> list:
    """The same navigation, in which each entry is one page."""
    made = []
    for item in nav:
        match item:
            case str():
                made += resolved(item, ROOT)
            case dict():
                made.append(
                    {title: with_pages(it) if isinstance(it, list) else it for title, it in item.items()}
                )
    return made


def on_files(files, config):
    """Add the pages that lie beside docs/."""
    from mkdocs.structure.files import File

    for name in BESIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown, page, **_):
    """Point the links of a page to pages of the site."""
    here = page.file.src_uri
    return LINK.sub(lambda found: found[1] + in_site(found[2], here) + found[3], markdown)


def in_site(target: str, page: str) -> str:
    """A link, as it is written in a page's place in the repository, from the page's place in the site."""
    path, mark, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return target
    leads_to = Path(os.path.normpath(ROOT / Path(place(page)).parent / path))
    if leads_to.is_dir():
        leads_to = min(leads_to.glob("*.md"), default=leads_to)
    name = leads_to.relative_to(ROOT).as_posix()
    inside = name if name in BESIDE else os.path.relpath(name, "docs")
    return os.path.relpath(inside, Path(page).parent) + mark + anchor


def on_post_page(output, page, **_):
    """Refuse a page that loads something from another host."""
    from mkdocs.exceptions import PluginError

    if found := LOADS.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {found[0]}")
    return output


if __name__ == "__main__":
    sys.exit(main())
