"""The operations console: what is stuck, and the story of every account."""

from io import BytesIO

from flask import Blueprint, Response, abort, render_template, request, send_file
from werkzeug.exceptions import HTTPException

from connector.sync.budget.lanes import shares_of
from connector.web.app import WebApp
from connector.web.console import home, story
from connector.web.console.guard import Guard
from connector.web.console.words import FILTERS

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# A browser shows a PDF through a viewer of its own, which brings its styles along.
PDF_POLICY = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"
ACCOUNTS_A_PAGE = 100
PAGES_MAX = 10_000
SEARCH_LENGTH_MAX = 100


def blueprint(app: WebApp) -> Blueprint:
    """Build the console's pages around the application."""
    console = Blueprint("console", __name__, url_prefix="/console")
    guard = Guard(app.settings.web.console_token)
    console.before_request(guard.check)
    console.after_request(_harden)
    console.register_error_handler(HTTPException, _say)
    for name, function in FILTERS.items():
        console.add_app_template_filter(function, name)

    @console.get("/")
    def start() -> str:
        page = min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)
        search = request.args.get("q", "").replace("\x00", "").strip()[:SEARCH_LENGTH_MAX]
        with app.store.read() as tx:
            overview = home.read_overview(
                tx=tx,
                search=search,
                limit=ACCOUNTS_A_PAGE,
                offset=(page - 1) * ACCOUNTS_A_PAGE,
                shares=shares_of(app.settings.sync.budget),
            )
        has_more = overview.account_count > page * ACCOUNTS_A_PAGE
        return render_template(
            "console/start.html", overview=overview, search=search, page=page, has_more=has_more
        )

    @console.get("/accounts/<int(max=9223372036854775807):account_id>")
    def account(account_id: int) -> str:
        with app.store.read() as tx:
            told = story.read_story(tx=tx, account_id=account_id)
        if told is None:
            abort(404, "There is no such account.")
        return render_template(
            "console/account.html", story=told, shown_line=request.args.get("line", 0, type=int)
        )

    @console.get("/invoices/<int(max=9223372036854775807):invoice_id>.pdf")
    def invoice_pdf(invoice_id: int) -> Response:
        with app.store.read() as tx:
            document = story.read_pdf(tx=tx, invoice_id=invoice_id)
        if document is None:
            abort(404, "There is no PDF of this invoice yet: the next bill run makes it.")
        number, content = document
        answer = send_file(
            BytesIO(content), mimetype="application/pdf", download_name=f"{number}.pdf"
        )
        answer.headers["Content-Security-Policy"] = PDF_POLICY
        return answer

    console.add_url_rule("/enter", view_func=guard.enter, methods=["GET", "POST"])
    return console


def _say(error: HTTPException) -> tuple[str, int]:
    """Answer an error with a page that says what is wrong and leads back."""
    return render_template("console/message.html", error=error), error.code or 500


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
