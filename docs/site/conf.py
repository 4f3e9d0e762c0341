"""The documents as a site: `.ci/docs` builds it, by Sphinx with MyST.

The pages are the Markdown files where they lie, so that each reads as well in the repository and
links as it does there. Sphinx was chosen because it and MyST are released month by month (looked at
in 2026-11), are under the BSD and MIT licences, and fail a build at a link or an anchor that leads
nowhere. MkDocs has had no release since August 2024 and will have no plugins in version 2, Material
for MkDocs is at its end of life since 2026-11-05, and Zensical had not reached version 1.
"""

import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

_ROOT = Path(__file__).parents[2]
_project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_logger = getLogger(__name__)

project = _project["name"]
version = release = _project["version"]
author = "the authors of connector-pipeline"
project_copyright = "Apache-2.0"

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md"]
# The description on the page of a package index: README.md says it at more length.
exclude_patterns = ["PACKAGE.md"]
# The sidebar lists the pages: a table of contents within README.md would be noise elsewhere.
suppress_warnings = ["toc.not_included"]
nitpicky = True
# As in the repository, every heading has an anchor.
myst_heading_anchors = 4

html_theme = "alabaster"
html_title = f"connector-pipeline {version}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "description": _project["description"],
    "fixed_sidebar": True,
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "body_max_width": "none",
    "page_width": "1200px",
    "sidebar_width": "240px",
}
templates_path = ["templates"]
html_sidebars = {"**": ["about.html", "searchfield.html", "pages.html", "localtoc.html"]}
html_context = {
    "site_pages": [
        ("README", "Start"),
        ("docs/operating", "Operating"),
        ("docs/deploying", "Deploying"),
        ("docs/settings", "Settings"),
        ("docs/contracts", "Contracts"),
        ("docs/stability", "What is stable"),
        ("docs/syncs", "Syncs"),
        ("docs/platforms", "Platforms"),
        ("docs/faults", "Faults"),
        ("docs/comparison", "Comparison"),
        ("docs/architecture", "Architecture"),
        ("docs/glossary", "Glossary"),
        ("docs/facts/shopify", "Facts: Shopify"),
        ("docs/facts/woocommerce", "Facts: WooCommerce"),
        ("docs/facts/dagster", "Facts: Dagster"),
        ("CONTRIBUTING", "Contributing"),
        ("SECURITY", "Security"),
        ("CHANGELOG", "Changelog"),
        ("docs/licences", "Licences"),
    ]
}


def _write_index(app: Sphinx, error: Exception | None) -> None:
    """A server's first page is index.html, and ours is README.md."""
    if error is None:
        to_readme = '<!DOCTYPE html><meta http-equiv="refresh" content="0; url=README.html">\n'
        (Path(app.outdir) / "index.html").write_text(to_readme, encoding="utf-8")


def _show_folders(app: Sphinx, page: nodes.document) -> None:
    """Unlink the names of folders: the repository shows a folder, the site has no page of one."""
    file = Path(app.env.doc2path(app.env.docname))
    for link in list(page.findall(pending_xref)):
        if (file.parent / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def _judge_addresses(app: Sphinx, page: nodes.document, name: str) -> None:
    """Warn of an address that cannot be one; CI reaches no web and asks none."""
    for link in page.findall(nodes.reference):
        address = link.get("refuri", "")
        if re.match("https?:", address) and not re.fullmatch(
            r"https?://[\w-]+(\.[\w-]+)*(:\d+)?(/[^\s<>\"]*)?", address
        ):
            _logger.warning("no address: %s", address, location=link)


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("doctree-read", _show_folders)
    app.connect("doctree-resolved", _judge_addresses)
    app.connect("build-finished", _write_index)
