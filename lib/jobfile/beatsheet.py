"""A beatsheet, the numbered lines of one topic, as jobs: one `speak` job a beat.

    {topicId, title?, totalBeats?, ttsDefaults?, beats: [{id, narration, tts?, source_ref?}]}

JSON or YAML; read by the same bounded reader as job files, so every mistake has its line and all are named at once.
What a beat is spoken with comes, the later the stronger, from ttsDefaults, its own tts, and what was given by hand.
Who calls it: `reading`, for files that are beatsheets or must be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lib.jobfile.findings import Findings, TooManyError
from lib.jobfile.levels import TTS_FIELDS, Level, merged
from lib.jobfile.scanning import FileJob
from lib.jobfile.sheet_reading import read_sheet
from lib.jobfile.voice_alone import voice_problems
from lib.jobqueue.normalise import normalize_job_spec
from lib.jobqueue.output_names import output_name_problem
from lib.jobqueue.problems import InvalidJobError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lib.errors import Problem
    from lib.jobfile.levels import Merged
    from lib.jobfile.scanning import FileRules
    from lib.jobfile.sheet_reading import Part
    from lib.jobfile.source import JobFile
    from lib.jobqueue.problems import FieldProblem

_SHEET_KEYS: Final = ("topicId", "title", "totalBeats", "ttsDefaults", "beats", "schema_version")
_BEAT_KEYS: Final = ("id", "narration", "tts", "source_ref")
_MOST_BEATS: Final = 999_999
_VOICELESS: Final = "voice: name voice or speaker in {where}, or give one to enqueue-beatsheet"


@dataclass(frozen=True, slots=True)
class _Topic:
    """What the beats share."""

    topic_id: str
    title: str | None
    total_beats: int
    line: int
    levels: tuple[Level, ...]
    by_hand: Mapping[str, Any] = field(default_factory=dict)


class BeatScan:
    """One reading of one beatsheet."""

    def __init__(self, file: JobFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self._findings = Findings(file.name)
        self._voiceless: list[Part] = []
        self._said_by_hand: set[str] = set()

    def run(self) -> Iterator[FileJob | Problem]:
        """Every valid job and every problem."""
        jobs: list[FileJob] = []
        try:
            with self._file.opened() as stream:
                sheet = read_sheet(stream, self._findings, self._rules.max_job_bytes)
            if sheet is not None:
                topic = self._topic(sheet.root, len(sheet.beats))
                self._tell_apart(sheet.beats)
                jobs = [job for job in (self._job(beat, topic) for beat in sheet.beats) if job]
                if self._voiceless and self._rules.voiceless:
                    # Flags were given by hand, and they count for every beat.
                    jobs = [replace(job, content_known=False) for job in jobs]
                else:
                    self._tell_of_voiceless(sheet.root, len(sheet.beats))
        except TooManyError:
            pass
        yield from jobs
        yield from self._findings.fresh()

    def _topic(self, root: Part, beats: int) -> _Topic:
        """The root, checked. What is wrong stands in for itself, so that the beats can be checked all the same."""
        self._strange_keys(root, _SHEET_KEYS, "")
        topic_id = self._value(root, "topicId", str, "text, such as rome-101", needed=True) or "topic"
        problem = output_name_problem(f"{topic_id}/beat-001")
        if problem is not None:
            self._findings.add(root.line_of("topicId"), "topicId", f"{shown(topic_id)} {problem}")
            topic_id = "topic"
        title = self._value(root, "title", str, "text")
        total = self._value(root, "totalBeats", int, "a whole number")
        version = self._value(root, "schema_version", int, "1")
        if version not in {None, 1}:
            self._findings.add(root.line_of("schema_version"), "schema_version", f"is {version}; only 1 is known")
        if "beats" not in root.lines and "beats" not in root.broken:
            self._findings.add(root.line, "beats", "is missing; write the list of beats")
        elif total is not None and total != beats and self._rules.notice is not None:
            self._rules.notice(
                f"{self._file.name}:{root.line_of('totalBeats')}: totalBeats is {total}, the file has {beats}; "
                f"{total} is kept as total_beats"
            )
        levels = (self._level(root, "ttsDefaults", "ttsDefaults"),)
        return _Topic(topic_id, title, beats if total is None else total, root.line, levels, self._rules.by_hand or {})

    def _tell_apart(self, beats: list[Part]) -> None:
        """Note strange keys, and every id that is no number of the beat's own."""
        first: dict[int, Part] = {}
        for beat in beats:
            self._strange_keys(beat, _BEAT_KEYS, beat.where)
            number = self._value(beat, "id", int, "a whole number such as 7", needed=True)
            if number is None:
                beat.broken.add("id")
                continue
            if not 0 <= number <= _MOST_BEATS:
                said = f"is {shown(number)}; use 0 to {_MOST_BEATS}"
            elif (other := first.setdefault(number, beat)) is not beat:
                at = other.line_of("id")
                said = f"{number} stands in {other.where} on line {at} too; give each beat its own"
            else:
                continue
            beat.broken.add("id")
            self._findings.add(beat.line_of("id"), f"{beat.where}.id", said)

    def _job(self, beat: Part, topic: _Topic) -> FileJob | None:
        known = len(self._findings)
        narration = self._value(beat, "narration", str, "text: what is to be said", needed=True)
        own = self._level(beat, "tts", f"{beat.where}.tts")
        if beat.broken - {"id"}:
            return None
        tts = merged((*topic.levels, own, Level("", dict(topic.by_hand), {})))
        voiceless = "voice" not in tts.values and "speaker" not in tts.values
        if voiceless:
            self._voiceless.append(beat)
            # Something to check the other fields with.
            tts.values["speaker" if "instruct" in tts.values else "voice"] = "unsaid"
        row = {**_row_of(beat, topic), **tts.values, "text": narration or "unsaid"}
        rules = self._rules
        try:
            spec = normalize_job_spec(
                row,
                catalogue=rules.catalogue,
                max_attempts=rules.max_attempts,
                now=rules.now,
                max_job_bytes=rules.max_job_bytes,
            )
        except InvalidJobError as exc:
            for problem in exc.problems:
                value = tts.values.get(problem.field)
                self._place(problem if rules.reword is None else rules.reword(problem, value), beat, topic, tts)
            if not voiceless:
                for problem in voice_problems(tts.values, exc.problems, rules.inspect, beat.where):
                    self._place(problem, beat, topic, tts)
            return None
        if voiceless and not rules.voiceless:
            return None
        found = rules.inspect(spec) if rules.inspect is not None and not voiceless else ()
        for problem in found:
            self._place(problem, beat, topic, tts)
        sound = not found and not beat.broken and len(self._findings) == known
        return FileJob(beat.index, beat.line, spec) if sound else None

    def _place(self, problem: FieldProblem, beat: Part, topic: _Topic, tts: Merged) -> None:
        """Note a job's problem where the sheet says it: in the narration, a level, the reference, or the beat."""
        name = problem.field.partition(".")[0].partition("[")[0]
        origin = tts.origins.get(name)
        if name == "text":
            self._findings.add(beat.line_of("narration"), f"{beat.where}.narration", problem.message)
        elif name in {"request_id", "output_name"}:
            self._findings.add(topic.line, "topicId", problem.message)
        elif name == "callback_data":
            self._findings.add(beat.line_of("source_ref"), f"{beat.where}.source_ref", problem.message)
        elif origin is None:
            self._findings.add(beat.line, beat.where, problem.message)
        elif origin.where:
            self._findings.add(origin.lines.get(name, beat.line), f"{origin.where}.{problem.field}", problem.message)
        elif problem.message not in self._said_by_hand:
            # The same for every beat: once is enough.
            self._said_by_hand.add(problem.message)
            self._findings.add(beat.line, beat.where, f"--{name.replace('_', '-')}: {problem.message}")

    def _tell_of_voiceless(self, root: Part, beats: int) -> None:
        """Once when it is so for all; else each beat, since most have one."""
        if len(self._voiceless) == beats and beats > 1:
            said = _VOICELESS.format(where="ttsDefaults")
            self._findings.add(root.line_of("beats"), "beats", f"no beat has a {said}")
            return
        for beat in self._voiceless:
            self._findings.add(beat.line, beat.where, f"has no {_VOICELESS.format(where='its tts or ttsDefaults')}")

    def _level(self, part: Part, key: str, where: str) -> Level:
        given = self._value(part, key, dict, "a mapping of speech fields")
        if not given:
            return Level(where, {}, {})
        lines = {name: part.line_of(f"{key}.{name}") for name in given}
        sound: dict[str, Any] = {}
        for name, value in given.items():
            if name in TTS_FIELDS:
                sound[name] = value
            elif name == "text":
                self._findings.add(lines[name], f"{where}.text", "does not belong here; a beat's text is its narration")
            else:
                mend = nearest(name, TTS_FIELDS) or "; remove it"
                self._findings.add(lines[name], f"{where}.{_plain(name)}", f"is no known speech field{mend}")
        return Level(where, sound, lines)

    def _strange_keys(self, part: Part, known: tuple[str, ...], where: str) -> None:
        for name in part.values:
            if name not in known:
                place = f"{where}.{_plain(name)}" if where else _plain(name)
                self._findings.add(
                    part.line_of(name), place, f"is no known field{nearest(name, known) or '; remove it'}"
                )

    def _value(self, part: Part, key: str, kind: type, wanted: str, *, needed: bool = False) -> Any:
        """The value if it is of this kind; None and a problem when not. Null is as if it were not there."""
        value = part.values.get(key)
        place = f"{part.where}.{key}" if part.where else key
        if value is None:
            if needed and key not in part.broken:
                self._findings.add(part.line_of(key), place, f"is missing; write {wanted}")
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self._findings.add(part.line_of(key), place, f"must be {wanted}, not {shown(value)}")
            return None
        if needed and isinstance(value, str) and not value.strip():
            self._findings.add(part.line_of(key), place, f"is blank; write {wanted}")
            return None
        return value


def _row_of(beat: Part, topic: _Topic) -> dict[str, Any]:
    """What names the job and goes back with its record."""
    # One that was refused stands in for itself, so that the rest of the beat can be checked.
    number = 0 if "id" in beat.broken else beat.values["id"]
    callback: dict[str, Any] = {
        "topic_id": topic.topic_id,
        "beat_id": number,
        "total_beats": topic.total_beats,
    }
    if topic.title is not None:
        callback["topic_title"] = topic.title
    if beat.values.get("source_ref") is not None:
        callback["source_ref"] = beat.values["source_ref"]
    return {
        "request_id": f"{topic.topic_id}:beat-{number:03d}",
        "output_name": f"{topic.topic_id}/beat-{number:03d}",
        "callback_data": callback,
    }


def _plain(name: str) -> str:
    return name if name.isprintable() else shown(name)
