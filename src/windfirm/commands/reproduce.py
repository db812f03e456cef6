"""``windfirm reproduce``: the poster's tables, run and reported in one command, which goes on where it was stopped."""

from argparse import Namespace
from pathlib import Path

from windfirm.commands import report
from windfirm.commands import run as running
from windfirm.commands.folder import results
from windfirm.commands.shared import one_of, print_json, printer
from windfirm.study.find import builtin

#: All of them.
ALL = "all"


def run(args: Namespace) -> int:
    """Run the studies one after another into one folder, where they share their work, and report what there is."""
    for name in args.tables:
        one_of("TABLE", name, [*builtin(), ALL])
    names = builtin() if ALL in args.tables else list(dict.fromkeys(args.tables))
    folder = Path(args.out or f"runs/reproduce-{args.scale}")
    each = [Namespace(**{**vars(args), "study": name, "out": str(folder)}) for name in names]
    if args.dry_run:
        plans = [running.foresee(one) for one in each]
        if args.json:
            print_json({"studies": [plan.document() for plan in plans]})
        else:
            for plan in plans:
                running.show(plan, args.workers)
        return 0
    for place in [args.results, args.markdown and Path(args.markdown).parent]:
        if place:
            with results(place):  # so that a long run does not end at a closed door
                pass
    done = [running.carry_out(one) for one in each]
    lines = [line for entry in done for line in running.told(entry)]
    if not any(entry.rows for entry in done):  # of nothing there is no report
        if args.json:
            print_json({"studies": [entry.document() for entry in done], "report": None})
        else:
            printer().print("\n".join(lines))
        return running.FAILED
    made = report.report(
        Namespace(
            path=str(folder),
            source=(),
            study=names,
            title=None,
            pictures=True,
            out=args.results,
            markdown=args.markdown,
            device=args.device,
        )
    )
    if args.json:
        print_json({"studies": [entry.document() for entry in done], "report": str(made[0])})
    else:
        printer().print("\n".join([*lines, *report.told(*made)]))
    return running.FAILED if any(entry.board.errors for entry in done) else 0
