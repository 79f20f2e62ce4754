"""The operations console: what is stuck, and the story of every account."""

from flask import Blueprint, Response, abort, render_template, request

from connector.web.app import WebApp
from connector.web.console import home, story
from connector.web.console.guard import Guard
from connector.web.console.words import FILTERS

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
ACCOUNTS_A_PAGE = 100
PAGES_MAX = 10_000


def blueprint(app: WebApp) -> Blueprint:
    """Build the console's pages around the application."""
    console = Blueprint("console", __name__, url_prefix="/console")
    guard = Guard(app.settings.web.console_token)
    console.before_request(guard.check)
    console.after_request(_harden)
    for name, function in FILTERS.items():
        console.add_app_template_filter(function, name)

    @console.get("/")
    def start() -> str:
        page = min(max(request.args.get("page", 1, type=int), 1), PAGES_MAX)
        with app.store.read() as tx:
            overview = home.read_overview(
                tx=tx, limit=ACCOUNTS_A_PAGE, offset=(page - 1) * ACCOUNTS_A_PAGE
            )
        return render_template("console/start.html", overview=overview, page=page)

    @console.get("/accounts/<int:account_id>")
    def account(account_id: int) -> str:
        with app.store.read() as tx:
            told = story.read_story(tx=tx, account_id=account_id)
        if told is None:
            abort(404)
        return render_template("console/account.html", story=told)

    @console.get("/invoices/<int:invoice_id>.pdf")
    def invoice_pdf(invoice_id: int) -> Response:
        with app.store.read() as tx:
            document = story.read_pdf(tx=tx, invoice_id=invoice_id)
        if document is None:
            abort(404)
        number, content = document
        return Response(
            content,
            mimetype="application/pdf",
            headers={"Content-Disposition": f'inline; filename="{number}.pdf"'},
        )

    console.add_url_rule("/enter", view_func=guard.enter, methods=["GET", "POST"])
    return console


def _harden(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
