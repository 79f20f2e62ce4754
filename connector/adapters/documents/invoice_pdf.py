"""Invoices and credit notes as PDF, by Typst: one compiler for all, same bytes for the same."""

import json
import re
import threading
from pathlib import Path

import typst

from connector.adapters.documents.invoice_text import printed
from connector.billing.documents import PrintedDocument
from connector.errors import ConnectorError

TEMPLATE = Path(__file__).with_name("invoice.typ")
TAGGED_LINES_MAX = 400  # tags make a document of thousands of lines many times bigger
PLAIN_COLOUR = "#1f4e79"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class DocumentNotRendered(ConnectorError):
    """The document could not be made into a PDF."""

    code = "documents.not_rendered"
    remedy = "The invoice stands; its PDF is tried again by the next bill run."


class InvoicePdf:
    """Renders invoices and credit notes; one compiler serves every thread in turn."""

    def __init__(self) -> None:
        # System fonts would make the bytes depend on the machine.
        self._compiler = typst.Compiler(TEMPLATE, ignore_system_fonts=True)
        self._lock = threading.Lock()

    def __call__(self, document: PrintedDocument) -> bytes:
        """Return the PDF, PDF/A-3b; the same document gives the same bytes.

        A name in a script the bundled fonts lack is set in the machine's fonts, as plain PDF: an
        archive format forbids a sign that nobody can display.

        Raises:
            DocumentNotRendered: The compiler refused the document.
        """
        data = printed(document)
        if not _COLOUR.fullmatch(data["colour"]):
            data["colour"] = PLAIN_COLOUR
        text = json.dumps(data, ensure_ascii=False)
        try:
            with self._lock:
                try:
                    return self._compile(self._compiler, text, document, is_archive=True)
                except typst.TypstError as error:
                    if "could not be displayed" not in str(error):
                        raise
                return self._compile(typst.Compiler(TEMPLATE), text, document, is_archive=False)
        except (typst.TypstError, RuntimeError) as error:
            raise DocumentNotRendered(
                f"{document.type} {document.number} could not be rendered: {error}"
            ) from error

    def _compile(
        self,
        compiler: typst.Compiler,
        data: str,
        document: PrintedDocument,
        *,
        is_archive: bool,
    ) -> bytes:
        content = compiler.compile(
            format="pdf",
            sys_inputs={"data": data},
            timestamp=document.posted_at,
            pdf_standards="a-3b" if is_archive else None,
            pdf_tags=len(document.lines) <= TAGGED_LINES_MAX,
        )
        assert isinstance(content, bytes)
        return content
