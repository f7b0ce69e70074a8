"""The part of a document that is generated: what lies between `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations

from convert.errors import UserError


def replace_between(document: str, name: str, content: str, where: str) -> str:
    """The document with `content` between the markers called `name`, each of which stands on a line of its own.

    Raises:
        UserError: the document, which is called `where`, does not have each of the two markers once, in order.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise UserError(f"{where} must hold the lines <!-- {name} --> and <!-- /{name} --> once each, in this order")
    before, rest = document.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}{content.rstrip()}\n{end}{after}"
