"""Documents that are generated as a whole are what the code says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.generate_docs import DOCUMENTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_generated_document_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == DOCUMENTS[path](), "run `make docs`"
