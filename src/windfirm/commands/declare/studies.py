"""The commands that run grids of experiments and query them, and those for data."""

from windfirm.commands.declare.groups import STUDIES, Commands, command, common
from windfirm.commands.options import COUNT, NONE_OR_MORE, Parser


def data(commands: Commands) -> None:
    """Data sets."""
    parser = command(
        commands,
        "data",
        "Fetch, list and verify data sets.",
        "  windfirm data fetch cifar10\n  windfirm data fetch cifar10 --from ~/cifar-10-binary.tar.gz\n"
        "  windfirm data list\n  windfirm data verify cifar10",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")
    fetch = actions.add_parser(
        "fetch",
        help="get a data set, check every byte, store it once",
        description="Get a data set, check every byte, store it once.",
    )
    fetch.add_argument("name", metavar="NAME", help="cifar10")
    fetch.add_argument("--from", dest="source", metavar="PATH", help="an archive or folder that is already here")
    listing = actions.add_parser("list", help="what there is, and where", description="What there is, and where.")
    verify = actions.add_parser(
        "verify",
        help="read every stored byte again and compare it with the known digest",
        description="Read every stored byte again and compare it with the known digest.",
    )
    verify.add_argument("name", metavar="NAME", help="cifar10 or embedded")
    for action in (fetch, listing, verify):
        common(action)


def run(commands: Commands) -> None:
    """A grid of experiments."""
    parser = command(
        commands,
        "run",
        "Run a study, a grid of experiments, from its file; go on where it was stopped.",
        "  windfirm run table1 --scale smoke --dry-run\n"
        "  windfirm run table1 --scale laptop --workers 2 --out runs/table1\n"
        "  windfirm run my-sweep.toml --set prune.rounds=3 --set data.name=cifar10",
    )
    parser.add_argument("study", metavar="STUDY", help=f"a study file (.toml), or one inside: {STUDIES}")
    _running(parser, "folder of the store; studies in one folder share their work (default: runs/NAME-SCALE)")
    common(parser, None, "this seed in place of those of the file")


def study(commands: Commands) -> None:
    """What a study holds."""
    parser = command(
        commands,
        "study",
        "What is in the folder of a run: studies, cells, rows; and its upkeep.",
        "  windfirm study ls runs/table1\n  windfirm study rows runs/table1 --csv > rows.csv\n"
        "  windfirm study show runs/table1 3fa9\n  windfirm study verify runs/table1",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")

    def action(name: str, line: str) -> Parser:
        made: Parser = actions.add_parser(name, help=line[0].lower() + line[1:-1], description=line)
        made.add_argument("folder", metavar="DIR", help="the folder of a run")
        return made

    listing = action("ls", "The studies and how far they are.")
    show = action("show", "The cells of a study, or all about one cell.")
    show.add_argument("what", nargs="?", metavar="WHAT", help="a study, or the first digits of a cell's key")
    rows = action("rows", "The rows: right predictions under each attack.")
    rows.add_argument("--study", metavar="NAME", help="those of one study (default: of all)")
    rows.add_argument("--csv", action="store_true", help="as CSV, with a column for each axis of the grid")
    gc = action("gc", "Remove cells that no study needs any more, and files that no cell has.")
    gc.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    verify = action("verify", "Read every byte again: the database, files, rows.")
    verify.add_argument("--mend", action="store_true", help="have cells with damage done anew by the next run")
    for made in (listing, show, rows, gc, verify):
        common(made)


def report(commands: Commands) -> None:
    """A page and tables."""
    parser = command(
        commands,
        "report",
        "A study, a pruning run, a training or a comparison as a page, and as tables.",
        "  windfirm report runs/table1-laptop\n  windfirm report runs/half --out page\n"
        "  windfirm report --from rows.csv.gz --out tables\n"
        "  windfirm report runs/reproduce-laptop --from gpu.csv.gz --out results",
    )
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="the folder of a study or a run, or what windfirm compare --json wrote"
    )
    parser.add_argument(
        "--from",
        dest="source",
        action="append",
        default=[],
        metavar="FILE",
        help="rows as CSV, as windfirm study rows --csv writes; may be repeated, and stand beside PATH",
    )
    parser.add_argument("--study", action="append", default=[], metavar="NAME", help="only this study; may be repeated")
    parser.add_argument("--title", metavar="TEXT", help="the title of the page")
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="without attacked images of a study"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for page, tables and drawings (default: PATH/report; NAME-report beside a file)",
    )
    _markdown(parser)
    common(parser)


def reproduce(commands: Commands) -> None:
    """The poster's tables."""
    parser = command(
        commands,
        "reproduce",
        "The poster's tables: run what is missing, and report, in one command.",
        "  windfirm reproduce table3 --scale laptop --workers 2\n  windfirm reproduce all --scale gpu --device cuda\n"
        "  windfirm reproduce table1 table2 --scale smoke --dry-run",
    )
    parser.add_argument("tables", nargs="+", metavar="TABLE", help=f"{STUDIES}, or all")
    parser.add_argument("--results", metavar="DIR", help="folder of the report (default: report in that of the store)")
    _markdown(parser)
    _running(parser, "folder of the store, which all tables share (default: runs/reproduce-SCALE)", "laptop")
    common(parser, None, "this seed in place of those of the files")


def _markdown(parser: Parser) -> None:
    parser.add_argument("--markdown", metavar="FILE", help="the text there as well, such as RESULTS.md")


def _running(parser: Parser, out: str, scale: str | None = None) -> None:
    """How a study is run."""
    parser.add_argument(
        "--scale", default=scale, metavar="NAME", help="one of the file's scales, such as smoke, laptop, gpu, paper"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting of the file; may be given several times",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=out,
    )
    parser.add_argument(
        "--artifacts",
        metavar="URL",
        help="where networks are kept, by fsspec: s3://…, file://… (default: in the folder)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan: cells, what is done, the time left")
    group = parser.add_argument_group("how the work is done")
    group.add_argument("--engine", default="local", metavar="E", help="local (default), or ray (wants windfirm[ray])")
    group.add_argument(
        "--workers",
        type=NONE_OR_MORE,
        default=1,
        metavar="N",
        help="local: processes, which share the cores or take one GPU each; 0 for this one alone (default: 1)",
    )
    group.add_argument(
        "--threads", type=COUNT, metavar="N", help="cores for each cell (default: local, its share; ray, 1)"
    )
    group.add_argument("--address", metavar="A", help="ray: the cluster to join (default: one of its own here)")
