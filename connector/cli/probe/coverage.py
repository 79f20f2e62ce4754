"""The coverage table of the local org, made from the contract's cases."""

from collections import Counter

from connector.cli.probe.cases import Part, Table, load_tables

INTRODUCTION = """# What the local org covers

Made from the contract cases (`tests/contract`, tables in `connector/cli/probe/cases`).
Every case names its fact and how sure that fact is: **D** documented, **W** from a generated
WSDL, **R** recorded from a real org, **C** seen in clients, **T** tried by hand, **K** known to
practitioners. All cases hold on the local org at every change.
`pytest tests/contract --org URL` tries them on any org (its run-as user makes and deletes
records); `l2c org probe --org URL` tries those that only read.
"""


def coverage_page() -> str:
    """Return the page."""
    lines = [INTRODUCTION.rstrip()]
    tables = load_tables()
    for table in tables:
        lines += ["", f"## {table.section}. {table.title}", ""]
        lines += ["| part | about | cases | marks | the local org |", "|---|---|--:|---|---|"]
        lines += [_row(table, part) for part in table.parts]
    total = sum(len(table.cases) for table in tables)
    harmless = sum(case.is_harmless for table in tables for case in table.cases)
    lines += ["", f"{total} cases, {harmless} of them only read."]
    return "\n".join(lines) + "\n"


def _row(table: Table, part: Part) -> str:
    cases = [case for case in table.cases if case.fact == part.number]
    counts = Counter(case.mark for case in cases)
    marks = " ".join(f"{mark} {counts[mark]}" for mark in "DWRCTK" if counts[mark])
    if cases and all(case.is_refusal for case in cases):
        state = f"refused: {part.missing}" if part.missing else "refused"
    elif part.missing:
        state = f"partly; not: {part.missing}"
    else:
        state = "supported"
    return f"| {part.number} | {part.title} | {len(cases)} | {marks} | {state} |"
