"""One entry of a manifest as the row of a job: arguments by their names, and where each field stood.

What a field may hold is decided by `lib.jobqueue.normalise`; here only the form of the entry is judged, and a mistake
that is found there is led back to the argument that a person wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.problems import FieldProblem, nearest, shown
from lib.jobqueue.spec import SPEECH_FIELDS

if TYPE_CHECKING:
    from lib.jobfile.scanning import FileRules
    from lib.jobqueue.catalogue import TaskKind

_ROUTING: Final = ("priority", "backend", "deadline", "run_after", "timeout_seconds", "max_attempts")
"""Fields of a job that an entry may have too; a manifest says where and when, as a job file does."""

_KEYS: Final = ("task", "args", "kwargs", "meta", "id", "description", "schema_version", *_ROUTING)
_FLAT: Final = frozenset({*SPEECH_FIELDS, "output_name"})
_FORM: Final = '{"task": …, "args": […], "kwargs": {…}, "meta": {"id": …}}'


@dataclass(slots=True)
class TakenEntry:
    """An entry as a row for `normalize_job_spec`; `row` is None when there is nothing to make one of.

    `nameless` when the entry has no sound id, so that the one in `row` is only there to go on with. `places` has the
    argument that a field of the payload came from.
    """

    row: dict[str, Any] | None = None
    problems: list[FieldProblem] = field(default_factory=list)
    entry_id: str = ""
    nameless: bool = False
    places: dict[str, str] = field(default_factory=dict)
    flat: bool = False
    args_refused: bool = False

    def wrong(self, where: str, said: str) -> None:
        """Note a mistake."""
        self.problems.append(FieldProblem(_printable(where), said))

    def place_of(self, job_field: str) -> str | None:
        """Where in the entry a field of the job stands; None when enough was said about it already."""
        place = self._place_of(job_field)
        return None if place is None else _printable(place)

    def _place_of(self, job_field: str) -> str | None:
        head, _, rest = job_field.partition(".")
        if head == "payload" or (self.flat and head in _FLAT):
            if self.args_refused:
                return None
            name = rest if head == "payload" else job_field
            top = name.partition(".")[0].partition("[")[0]
            return self.places.get(top, f"kwargs.{top}" if top else "kwargs") + name[len(top) :]
        if head == "request_id":
            return None if self.nameless else "meta.id"
        if head.partition("[")[0] == "callback_data":
            return f"meta{job_field.removeprefix('callback_data')}"
        return job_field


def taken_from(value: Any, rules: FileRules, file_plan: str) -> TakenEntry:
    """The entry in `value`, whatever that is; `file_plan` is the plan of one that names none."""
    taken = TakenEntry()
    if not isinstance(value, dict):
        taken.wrong("", f"must be an entry such as {_FORM}, not {shown(value)}")
        return taken
    for key in value:
        if key not in _KEYS:
            taken.wrong(key, f"is no known field{nearest(key, _KEYS) or '; remove it, or move it into meta'}")
    version = value.get("schema_version")
    if version is not None and (version != 1 or isinstance(version, bool)):
        taken.wrong("schema_version", f"is {shown(version)}; only 1 is known")
    meta = _object(value, "meta", taken)
    taken.entry_id = _entry_id(value, meta, taken)
    plan = rules.names.plan or _plan(meta, taken) or file_plan
    if not plan:
        taken.wrong("meta.plan", "is missing, and a pipe has no name to take it from; write it, or give --plan")
    taken.row = {
        "request_id": f"{rules.names.backlog}:{plan}:{taken.entry_id}",
        "callback_data": _told(value, meta, taken),
    }
    taken.row |= {name: value[name] for name in _ROUTING if name in value}
    _take_call(value, rules, taken)
    return taken


def _take_call(value: dict[str, Any], rules: FileRules, taken: TakenEntry) -> None:
    assert taken.row is not None  # noqa: S101 - the caller has made it
    name = value.get("task")
    if not isinstance(name, str) or not name.strip():
        said = "is missing; write the name of a task" if name is None else f"must be text, not {shown(name)}"
        taken.wrong("task", said if not isinstance(name, str) else "is blank; write the name of a task")
        taken.row = None
        return
    taken.row["task"] = name
    kind = rules.catalogue.get(name)
    arguments = _object(value, "kwargs", taken)
    args = value.get("args")
    if args is not None and not isinstance(args, list):
        taken.wrong("args", f"must be a list, not {shown(args)}")
        taken.args_refused, args = True, None
    if kind is None:
        return  # said when the row is normalised
    arguments = arguments | _by_name(args or [], arguments, kind, taken)
    if kind.payload is not None:
        taken.row["payload"] = arguments
        return
    taken.flat = True
    for key in arguments.keys() - _FLAT:
        taken.wrong(f"kwargs.{key}", f"is no field of task {kind.name}{nearest(key, _FLAT) or '; remove it'}")
    taken.row |= {key: arguments[key] for key in arguments.keys() & _FLAT}


def _by_name(args: list[Any], kwargs: dict[str, Any], kind: TaskKind, taken: TakenEntry) -> dict[str, Any]:
    """The positional arguments under the names that the task gives them."""
    known = kind.positional
    if len(args) > len(known):
        such = f"takes {len(known)} at most: {', '.join(known)}" if known else "takes none; write them into kwargs"
        taken.wrong("args", f"has {len(args)} arguments, and task {kind.name} {such}")
        taken.args_refused = True
    found: dict[str, Any] = {}
    for at, (name, given) in enumerate(zip(known, args, strict=False)):
        if name in kwargs:
            taken.wrong(f"args[{at}]", f"is {name}, which stands in kwargs too; keep one")
        found[name] = given
        taken.places[name] = f"args[{at}]"
    return found


def _object(value: dict[str, Any], key: str, taken: TakenEntry) -> dict[str, Any]:
    found = value.get(key)
    if found is None:
        return {}
    if isinstance(found, dict):
        return found
    taken.wrong(key, f"must be an object {{name: value}}, not {shown(found)}")
    if key == "kwargs":
        taken.args_refused = True
    return {}


def _entry_id(value: dict[str, Any], meta: dict[str, Any], taken: TakenEntry) -> str:
    inner, outer = meta.get("id"), value.get("id")
    given, where = (outer, "id") if inner is None else (inner, "meta.id")
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is None:
        where, said = "meta.id", "is missing; give each entry an id of its own"
    elif not isinstance(given, str):
        said = f"must be text, not {shown(given)}"
    elif not given.strip():
        said = "is blank; give each entry an id of its own"
    elif inner is not None and outer is not None and inner != outer:
        said = f"is {shown(inner)}, but the id beside meta is {shown(outer)}; keep one"
    else:
        return given
    taken.nameless = True
    # What is wrong with meta as a whole is said already.
    if given is not None or not any(problem.field == "meta" for problem in taken.problems):
        taken.wrong(where, said)
    return "unnamed"


def _plan(meta: dict[str, Any], taken: TakenEntry) -> str:
    plan = meta.get("plan")
    if plan is None:
        return ""
    if not isinstance(plan, str) or not plan.strip() or ":" in plan:
        taken.wrong("meta.plan", f"must be a name without a colon, not {shown(plan)}")
        return "unnamed"
    return plan


def _told(value: dict[str, Any], meta: dict[str, Any], taken: TakenEntry) -> dict[str, Any]:
    """What goes back with the record: meta, and the description beside it."""
    description = value.get("description")
    if description is None:
        return meta
    if not isinstance(description, str):
        taken.wrong("description", f"must be text, not {shown(description)}")
        return meta
    return {"description": description, **meta}


def _printable(place: str) -> str:
    """The place without what would drive a terminal: keys are whatever somebody wrote."""
    return place if place.isprintable() else repr(place)[1:-1]
