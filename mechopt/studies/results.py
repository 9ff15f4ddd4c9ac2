"""Rows of a comparison: one per problem, mechanism and protocol; kept in Parquet as they come.

While a run is under way each row is its own small file in the folder `<file>.parts`, written in
full or not at all, so that a killed run loses nothing that was finished. At the end the rows
become one file and the folder goes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import inf, isfinite, sqrt
from os import PathLike
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from mechopt import words
from mechopt.atomic import locked
from mechopt.draws import wilson
from mechopt.errors import InvalidFile, InvalidOption, NotSupported, OutputError

FORMAT = "1"  # raised when columns change; files of another format are refused
_MARK, _DIGESTS = b"mechopt_comparison", b"mechopt_digests"

# column -> type; the metrics carry the names of the model
COLUMNS: dict[str, type] = {
    "key": str,  # identifies problem, mechanism, options and protocol
    "group": str,  # label without the number of the draw; summaries are by group
    "problem": str,
    "problem_hash": str,  # the first 16 digits of its hash
    "kind": str,
    "n": int,
    "levels": int,
    "mechanism": str,
    "options": str,  # JSON
    "protocol": str,  # "" for populations
    "status": str,  # of the answer; "error" if there is none because of an error
    "objective_name": str,
    "objective": float,
    "bound": float,
    "gap": float,
    "improvement": float,
    "data": float,
    "social_cost": float,
    "expenditure": float,
    "leakage": float,
    "provider_surplus": float,
    "welfare": float,
    "participation": float,
    "regret": float,
    "stable_simultaneous": bool,
    "margin_simultaneous": float,
    "stable_sequential": bool,
    "margin_sequential": float,
    "outcome_share": float,  # what happens if users withdraw by the row's protocol
    "outcome_data": float,
    "outcome_social_cost": float,
    "outcome_expenditure": float,
    "reason": str,
    "error": str,
    "seconds": float,
}
METRICS = tuple(list(COLUMNS)[list(COLUMNS).index("improvement") : list(COLUMNS).index("regret")])


@dataclass(frozen=True)
class Interval:
    """A mean over `count` rows with its confidence interval [low, high]."""

    mean: float
    low: float
    high: float
    count: int


class ResultRows:
    """What every table of results can do: rows in a fixed order, mappings over `columns`."""

    rows: tuple[Mapping[str, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.rows)} rows)"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries."""
        return [dict(row) for row in self.rows]

    def column(self, name: str) -> list[Any]:
        """One column; InvalidOption with the nearest name if there is none."""
        words.choose("column", name, self.columns)
        return [row[name] for row in self.rows]

    def to_frame(self, library: str | None = None) -> Any:
        """The rows as a data frame of pandas, polars or pyarrow (default: the first there)."""
        from mechopt.files.frames import to_frame

        return to_frame({name: self.column(name) for name in self.columns}, library)

    def _repr_html_(self) -> str:
        from mechopt.studies.notebook import rows_html

        return rows_html(self.rows, repr(self))


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Rows of cells as lines: the first `left` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True, eq=False, repr=False)
class Table(ResultRows):
    """Rows of a comparison in a fixed order, each a mapping over `COLUMNS`.

    Numbers are the metrics of docs/explanation/model.md: money, data, or shares in [0, 1].
    """

    rows: tuple[Mapping[str, Any], ...]

    def __str__(self) -> str:
        """The means by group, mechanism and protocol, as a small table."""
        metrics = ("improvement", "expenditure", "social_cost", "provider_surplus")
        cells = [["group", "mechanism", "protocol", "rows", *metrics]]
        for row in self.summary(metrics):
            means = ["-" if row[name] is None else f"{row[name].mean:,.5g}" for name in metrics]
            head = [str(row[name]) for name in ("group", "mechanism", "protocol", "count")]
            cells.append([*head, *means])
        return "\n".join(aligned(cells, left=3))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(COLUMNS)

    def summary(
        self,
        metrics: Sequence[str] = METRICS,
        by: Sequence[str] = ("group", "mechanism", "protocol"),
        confidence: float = 0.95,
    ) -> list[dict[str, Any]]:
        """Mean and confidence interval of each metric per group of rows; errors are left out.

        Each entry has the `by` columns, `count`, `errors`, and one Interval per metric (None
        without a value). Rows of one group count as independent draws.
        """
        for name in (*metrics, *by):
            words.choose("column", name, COLUMNS)
        grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in self.rows:
            grouped.setdefault(tuple(row[name] for name in by), []).append(row)
        return [
            {
                **dict(zip(by, key)),
                "count": len(rows),
                "errors": sum(row["status"] == "error" for row in rows),
                **{
                    metric: mean_of(metric, [row[metric] for row in rows], confidence)
                    for metric in metrics
                },
            }
            for key, rows in grouped.items()
        ]

    def difference(
        self, metric: str, mechanism: str, baseline: str, confidence: float = 0.95
    ) -> dict[tuple[str, str], Interval | None]:
        """(group, protocol) -> mean of metric(mechanism) − metric(baseline), paired by problem.

        Both ran on the same problems (common random numbers), so the differences vary less than
        either.
        """
        words.choose("column", metric, COLUMNS)
        for name in (mechanism, baseline):
            words.choose("mechanism", name, sorted(set(self.column("mechanism"))))
        values = {
            (row["problem"], row["mechanism"], row["protocol"]): row[metric] for row in self.rows
        }
        pairs: dict[tuple[str, str], list[float]] = {}
        for row in self.rows:
            if row["mechanism"] != mechanism or row[metric] is None:
                continue
            other = values.get((row["problem"], baseline, row["protocol"]))
            if other is not None:
                pairs.setdefault((row["group"], row["protocol"]), []).append(row[metric] - other)
        return {place: interval(gaps, confidence) for place, gaps in pairs.items()}

    def write(self, path: str | PathLike[str]) -> None:
        """Write as .parquet or .csv (no cell is a formula); the whole file or nothing."""
        from mechopt.files import write_rows

        suffix = Path(path).suffix.lower()
        if suffix == ".parquet":
            _write_parquet(path, self.rows)
        elif suffix == ".csv":
            write_rows(path, self.rows, self.columns)
        else:
            raise OutputError(f"cannot write {path}: results are .parquet or .csv")


# within [0, 1]; and those ≥ 0
SHARES = ("improvement", "participation", "outcome_share")
AMOUNTS = ("data", "social_cost", "expenditure", "leakage", "regret", "seconds", "outcome_data",
           "outcome_social_cost", "outcome_expenditure")  # fmt: skip
_RESAMPLES = 2000  # of the bootstrap: ends within 3 % of the interval's width


def mean_of(
    metric: str, values: Iterable[float | None], confidence: float = 0.95
) -> Interval | None:
    """The mean of a column with an interval that the quantity can have; None without values.

    Shares stay within [0, 1] (Wilson's interval, at the number of draws that their variance is
    worth), amounts of money or data are not negative (bootstrap percentiles), and differences,
    surplus and welfare may have any sign (Student t).
    """
    known = [float(value) for value in values if value is not None and isfinite(value)]
    if metric in SHARES:
        return _of_share(known, confidence)
    return interval(known, confidence, least=0.0 if metric in AMOUNTS else -inf)


def interval(
    values: Iterable[float | None], confidence: float = 0.95, *, least: float = -inf
) -> Interval | None:
    """Mean of the known finite values with its interval; None without any.

    Student t, or, for values that cannot be below `least`, bootstrap percentiles (always with the
    same resamples). One value has the interval (least, inf).
    """
    if not 0 < confidence < 1:
        raise InvalidOption(f"confidence: must lie in (0, 1), got {confidence:g}")
    known = [float(value) for value in values if value is not None and isfinite(value)]
    if not known:
        return None
    mean = fmean(known)
    if len(known) == 1:
        return Interval(mean, least, inf, 1)
    if least > -inf:
        draws = np.random.default_rng(0).integers(0, len(known), (_RESAMPLES, len(known)))
        means = np.array(known)[draws].mean(axis=1)
        low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(mean, min(float(low), mean), max(float(high), mean), len(known))
    from scipy.special import stdtrit

    half = float(stdtrit(len(known) - 1, (1 + confidence) / 2)) * stdev(known) / sqrt(len(known))
    return Interval(mean, mean - half, mean + half, len(known))


def _of_share(known: list[float], confidence: float) -> Interval | None:
    if len(known) < 2:
        return Interval(known[0], 0.0, 1.0, 1) if known else None
    mean, variance = fmean(known), stdev(known) ** 2
    if variance == 0 and 0 < mean < 1:
        return Interval(mean, mean, mean, len(known))
    # As many draws of 0 or 1 as would have this variance.
    worth = len(known) * max(1.0, mean * (1 - mean) / variance) if variance > 0 else len(known)
    low, high = wilson(mean * worth, worth, confidence)
    return Interval(mean, min(low, mean), max(high, mean), len(known))


def share_interval(successes: int, count: int, confidence: float = 0.95) -> Interval | None:
    """A share with its Wilson interval (it stays inside [0, 1], also at 0 and 1)."""
    if count == 0:
        return None
    return Interval(successes / count, *wilson(successes, count, confidence), count)


# -- files ----------------------------------------------------------------------------------------


class Store:
    """The file of one comparison: what is already there, and each new row at once.

    Raises OutputError if `path` has results and `resume` is false, is a symbolic link, is written
    by another process now, or holds rows of another comparison; InvalidFile if they are of another
    format or are not as they were written.
    """

    def __init__(self, path: str | PathLike[str], keys: Sequence[str], resume: bool) -> None:
        _parquet()  # without it nothing could be kept: say so before any work
        self.path = Path(path)
        self.parts = self.path.with_name(self.path.name + ".parts")
        if self.path.suffix.lower() != ".parquet":
            raise OutputError(f"{path}: results go to a .parquet file as they come")
        if not resume and (self.path.exists() or self.parts.exists()):
            raise OutputError(
                f"{path}: has results already; go on with them (resume) or choose another file"
            )
        if self.path.is_symlink() or self.parts.is_symlink():
            raise OutputError(f"{path}: is a symbolic link; name the file that it stands for")
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.parts)
        except OSError as error:
            raise OutputError(f"cannot write {self.parts}: {error.strerror or error}") from None
        try:
            self.done = self._resumed(keys)
        except BaseException:
            self.close()
            raise

    def _resumed(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """What is there already, by key; OutputError if it belongs to another comparison."""
        done = {row["key"]: row for row in self._found()}
        foreign = set(done) - set(keys)
        if foreign:
            raise OutputError(
                f"{self.path}: {len(foreign)} of its {len(done)} rows belong to another "
                "comparison (problems, mechanisms or options differ); choose another file"
            )
        return done

    def close(self) -> None:
        """Let others go on with the results; a folder without a finished row goes."""
        self._lock.close()
        if self.parts.is_dir() and not any(self.parts.glob("*.parquet")):
            shutil.rmtree(self.parts)

    def _found(self) -> Iterator[Mapping[str, Any]]:
        """Every row that is there; InvalidFile if one is not as it was written."""
        files = [self.path] if self.path.exists() else []
        for path in (*files, *sorted(self.parts.glob("*.parquet"))):
            found = _opened(path)
            written = json.loads(found.schema.metadata.get(_DIGESTS, b"[]"))
            for row, digest in zip_longest(found.to_pylist(), written):
                if row is None or digest != _digest(row):
                    which = f"the row of {row['problem']!r} by {row['mechanism']}" if row else "it"
                    raise InvalidFile(
                        f"{path}: {which} was altered; run the comparison again, into another file"
                    )
                yield row

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a finished row; it is on disk when this returns."""
        self.done[row["key"]] = row
        _write_parquet(self.parts / f"{row['key']}.parquet", [row])

    def finish(self, keys: Sequence[str]) -> Table:
        """All rows in the order of `keys`, as one file."""
        table = Table(tuple(self.done[key] for key in keys))
        table.write(self.path)
        shutil.rmtree(self.parts)
        return table


def read_table(path: str | PathLike[str]) -> Table:
    """The table in a Parquet file written by a comparison (finished or not: then its parts).

    Raises InvalidFile if it is no such file or of another format version.
    """
    path = Path(path)
    parts = path.with_name(path.name + ".parts")
    if not path.exists() and parts.is_dir():
        files = sorted(parts.glob("*.parquet"))
        return Table(tuple(row for part in files for row in read_table(part)))
    return Table(tuple(_opened(path).to_pylist()))


def _opened(path: Path) -> Any:
    """The Arrow table in a Parquet file of results, in the format of this version."""
    parquet = _parquet()
    from pyarrow import ArrowException

    try:
        with parquet.ParquetFile(path) as file:  # read_table would import pandas
            found = file.read()
    except (OSError, ArrowException) as error:
        raise InvalidFile(f"{path}: cannot be read as Parquet ({error})") from None
    version = (found.schema.metadata or {}).get(_MARK)
    if version is None:
        raise InvalidFile(f"{path}: is not a table written by compare")
    if version != FORMAT.encode():
        raise InvalidFile(
            f"{path}: has results of format {version.decode(errors='replace')}, this version "
            f"reads {FORMAT}; run the comparison again with this version, into another file"
        )
    for column in _schema():
        at = found.schema.get_field_index(column.name)
        if at < 0 or found.schema.field(at).type != column.type:
            raise InvalidFile(
                f"{path}: column {column.name!r} is not as compare wrote it ({column.type}); run "
                "the comparison again, into another file"
            )
    return found


def _write_parquet(path: str | PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    parquet = _parquet()
    import pyarrow as pa

    from mechopt.files import replacing

    table = pa.Table.from_pylist([dict(row) for row in rows], _schema())
    digests = json.dumps(list(map(_digest, table.to_pylist())))
    table = table.replace_schema_metadata({**table.schema.metadata, _DIGESTS: digests})
    with replacing(path, binary=True) as stream:
        parquet.write_table(table, stream, compression="zstd")


def _digest(row: Mapping[str, Any]) -> str:
    """What tells a row, as it is read back, from every other."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]


def _schema() -> Any:
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return pa.schema(
        [(name, types[kind]) for name, kind in COLUMNS.items()], metadata={_MARK: FORMAT.encode()}
    )


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise NotSupported(
            'results in Parquet need pyarrow: pip install "mechopt[compare]"'
        ) from None
    return pyarrow.parquet
