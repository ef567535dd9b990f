"""What the site has beyond docs/: README and others as pages, and links out of docs/."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages that stand outside of docs/."""
    for source, uri in PAGES.items():
        files.append(
            File.generated(config, uri, content=(ROOT / source).read_text("utf-8"))
        )
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Leads links of a repository to what the site has of it."""
    sources = {uri: source for source, uri in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def site_link(match: re.Match) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if not (ROOT / target).exists():
            return match[0]  # code that looks like a link, or a mistake that mkdocs names
        uri = site_uri(target, config, files)
        if uri is None:
            return text
        start = posixpath.dirname(page.file.src_uri)
        return f"[{text}]({posixpath.relpath(uri, start or '.')}{anchor})"

    return LINK.sub(site_link, markdown)


def site_uri(path: str, config: MkDocsConfig, files: Files) -> str | None:
    """Returns where the site has a file of the repository; None for folders.

    Modules are in the reference. Other files, but pages, are copied into the site.
    """
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    module = f"reference/{re.sub(r'(/__init__)?[.]py$', '', path)}"
    for uri in (f"{module}.md", f"{module}/index.md"):
        if files.get_file_from_path(uri):
            return uri
    if path.endswith(".md") or not (ROOT / path).is_file():
        return None
    if not files.get_file_from_path(path):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return path
