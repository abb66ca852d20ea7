"""The subcommands of ``spark-kusto`` and their arguments."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KustoError, OptionError

if TYPE_CHECKING:
    from spark_kusto.client import Cluster, Result
    from spark_kusto.client.address import Address

FORMATS = ("table", "csv", "json", "parquet")
ROWS_SHOWN = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; ``arguments`` are those of the process unless given. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KustoError as error:
        print(f"spark-kusto: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    from spark_kusto import __version__

    parser = argparse.ArgumentParser(
        prog="spark-kusto", description="Ask a Kusto cluster, and look after an embedded one."
    )
    parser.add_argument("--version", action="version", version=f"spark-kusto {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    query = commands.add_parser(
        "query",
        help="run a KQL query or a management command",
        description="Run a KQL query, or a management command if the text begins with a dot.",
    )
    query.add_argument("cluster", help="the directory of an embedded cluster")
    query.add_argument("database")
    query.add_argument("kql", help="the text; @FILE reads it from a file, - from standard input")
    query.add_argument("--format", choices=FORMATS, default="table")
    query.add_argument("--output", metavar="FILE", help="write there rather than to standard output")
    query.add_argument(
        "--rows",
        type=_count,
        default=ROWS_SHOWN,
        metavar="N",
        help=f"rows a table shows at most, 0 for all of them (default {ROWS_SHOWN})",
    )
    query.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for declare query_parameters; may be repeated",
    )
    query.set_defaults(run=_query)

    check = commands.add_parser(
        "check",
        help="see whether every extent is present, readable and counted",
        description="Read all of an embedded cluster, and compare it with its catalogs. Changes nothing.",
    )
    check.add_argument("root", help="the directory of an embedded cluster")
    check.add_argument("--quick", action="store_true", help="look at sizes and footers only")
    check.set_defaults(run=_check)

    maintain = commands.add_parser(
        "maintain",
        help="do all maintenance that is due: queue, merge, retention, sweep",
        description="Do all maintenance of an embedded cluster that is due.",
    )
    maintain.add_argument("root", help="the directory of an embedded cluster")
    maintain.set_defaults(run=_maintain)

    doctor = commands.add_parser(
        "doctor",
        help="report versions, Java, imports and reachability, here and on every executor",
        description="Report what is installed and what can be reached, on the driver and on every executor.",
    )
    doctor.add_argument("cluster", nargs="?", help="a cluster whose reachability is looked at")
    doctor.add_argument("--master", help="the Spark to ask (default: the one of spark-submit, or local[2])")
    doctor.add_argument("--no-spark", action="store_true", help="look at this machine only")
    doctor.set_defaults(run=_doctor)

    cleanup = commands.add_parser(
        "cleanup",
        help="delete what was staged and left: in blob storage, or in an embedded cluster",
        description="Delete staged data that nobody needs any more, and nothing that others put there.",
    )
    cleanup.add_argument(
        "place",
        help="a container or directory URL with its SAS (- reads it from the input, where no list of"
        " processes shows it), or the directory of an embedded cluster",
    )
    cleanup.add_argument(
        "--auth",
        metavar="METHOD",
        help="sign in for a URL without a SAS: azureCli, default, managedIdentity, deviceCode ...",
    )
    cleanup.add_argument("--older-than", type=_age, metavar="AGE", help="leave what is younger: 90m, 12h, 7d")
    cleanup.add_argument(
        "--expired", action="store_true", help="only directories whose expiry has passed: what dead jobs left"
    )
    cleanup.add_argument(
        "--anything",
        action="store_true",
        help="also blobs that this package did not stage (needs a directory)",
    )
    cleanup.add_argument(
        "--dry-run", action="store_true", help="say what would be deleted, and delete nothing"
    )
    cleanup.set_defaults(run=_cleanup)
    return parser


def _count(given: str) -> int:
    if not given.isascii() or not given.isdigit():
        raise argparse.ArgumentTypeError(f"'{given}' is no number of rows")
    return int(given)


def _age(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    try:
        return timedelta(**{units[text[-1]]: float(text[:-1])})
    except (KeyError, ValueError, IndexError):
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90m, 12h or 7d") from None


# -- query ----------------------------------------------------------------------------------------


def _query(options: argparse.Namespace) -> int:
    from spark_kusto.cli.output import write_results

    text = _text(options.kql)
    parameters = dict(_parameter(given) for given in options.parameter)
    if options.format == "parquet" and options.output is None and sys.stdout.isatty():
        raise OptionError("Parquet is not for terminals.", remedy="Give --output FILE.")
    started = time.perf_counter()
    with _connect(options.cluster) as cluster:
        result = _ask(cluster, options.database, text, parameters)
        write_results(result, options.format, options.output, options.rows, started)
    return 0


def _connect(given: str) -> Cluster:
    """The cluster at an address. Asking never creates one: a mistyped path would answer with nothing."""
    from spark_kusto.client import connect

    address = _address(given)
    if address.kind == "embedded":
        _require_root(address.text)
    return connect(address.text)


def _address(given: str) -> Address:
    """In a shell a directory's bare name means the directory, which elsewhere would be an alias."""
    from spark_kusto.client.address import parse_address

    return parse_address(f"./{given}" if Path(given).is_dir() and not Path(given).is_absolute() else given)


def _require_root(path: str) -> None:
    from spark_kusto.storage import Root

    Root.open(path, create=False).close()


def _ask(cluster: Cluster, database: str, text: str, parameters: dict[str, str]) -> Result:
    if text.lstrip().startswith("."):
        if parameters:
            raise OptionError("Management commands take no parameters.", remedy="Leave --parameter out.")
        return cluster.execute(database, text)
    # A person at a terminal means all of the answer, and it is written as it comes.
    return cluster.query(database, text, parameters=parameters or None, properties={"notruncation": True})


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise OptionError(f"The query could not be read from '{given[1:]}': {error.strerror}.") from error
    return given


def _parameter(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise OptionError(f"'{given}' is no parameter.", remedy="Give it as name=value.")
    return name.strip(), value


# -- an embedded cluster's health -----------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    from spark_kusto.cli.output import plural, size
    from spark_kusto.storage import Root

    started = time.perf_counter()
    root = Root.open(options.root, create=False)
    try:
        findings = list(root.check(read=not options.quick))
        errors = [finding for finding in findings if finding.severity == "error"]
        for details in root.databases():
            if any(finding.database == details.name and not finding.extent_id for finding in errors):
                continue
            for table in root.database(details.name).snapshot().tables.values():
                bad = sum(1 for f in errors if (f.database, f.table) == (details.name, table.name))
                verdict = f"{plural(bad, 'damaged extent')}" if bad else "ok"
                print(
                    f"{details.name}.{table.name}: {plural(len(table.extents), 'extent')}, "
                    f"{plural(table.row_count, 'row')}, {size(table.size)}: {verdict}"
                )
    finally:
        root.close()
    for finding in findings:
        where = ".".join(part for part in (finding.database, finding.table) if part)
        print(f"{finding.severity}: {where}: {finding.message}")
    seconds = time.perf_counter() - started
    how = "Sizes and footers" if options.quick else "Every value"
    print(f"{how} read in {seconds:.1f} s: {plural(len(errors), 'error') if errors else 'nothing is wrong'}.")
    return 1 if errors else 0


def _maintain(options: argparse.Namespace) -> int:
    with _connect(options.root) as cluster:
        done = cluster.maintain()
    for name, count in done.items():
        if count:
            print(f"{name.replace('_', ' ')}: {count:,}")
    if not any(done.values()):
        print("Nothing was due.")
    return 0


# -- the rest -------------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    from spark_kusto.cli.doctor import examine

    return examine(options.cluster, master=options.master, spark=not options.no_spark)


def _cleanup(options: argparse.Namespace) -> int:
    place = sys.stdin.readline().strip() if options.place == "-" else options.place
    if "://" not in place:
        return _cleanup_root(options)
    from spark_kusto.client.auth import credential_from_options
    from spark_kusto.staging import delete_directory, sweep_expired

    # The two ways of naming a place: one text with its secret, or an address and a credential.
    where: dict[str, Any] = {}
    if options.auth is not None:
        where = {"directory": "", "credential": credential_from_options({"authMethod": options.auth})}
    if options.expired:
        if options.older_than is not None or options.anything:
            raise OptionError("--expired goes by each directory's own expiry.", remedy="Give it alone.")
        summary = sweep_expired(place, **where, dry_run=options.dry_run, progress=sys.stderr.isatty())
    else:
        summary = delete_directory(
            place,
            **where,
            older_than=options.older_than,
            anything=options.anything,
            dry_run=options.dry_run,
            progress=sys.stderr.isatty(),
        )
    print(summary)
    names = [f"would delete {name}" for name in summary.deleted] if options.dry_run else []
    names += [f"left {refusal.name}: {refusal.reason}" for refusal in summary.refused]
    for line in names[:_NAMES_SHOWN]:
        print(f"  {line}")
    if len(names) > _NAMES_SHOWN:
        print(f"  and {len(names) - _NAMES_SHOWN:,} more")
    return 1 if summary.refused else 0


_NAMES_SHOWN = 200


def _cleanup_root(options: argparse.Namespace) -> int:
    from spark_kusto.cli.output import plural
    from spark_kusto.storage import Root

    if options.dry_run or options.anything or options.older_than is not None:
        raise OptionError(
            "An embedded cluster's sweep removes only what expired operations left, and takes no options.",
            remedy="Run `spark-kusto cleanup ROOT`.",
        )
    root = Root.open(options.place, create=False)
    try:
        removed = root.sweep()
    finally:
        root.close()
    print(f"{plural(removed, 'file or folder', 'files or folders')} removed from {root.path}")
    return 0
