"""Beatsheets become jobs: names, callback data and precedence as promised; every mistake with its line, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError
from lib.jobfile import FileRules, check_file, read_jobs
from lib.jobqueue.problems import FieldProblem
from tests.lib.jobfile.written import said, written

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec

SIXTY = Path(__file__).parents[2] / "data" / "beatsheet_60.json"

SHEET = {
    "topicId": "rome-101",
    "title": "Rome in a day",
    "totalBeats": 2,
    "ttsDefaults": {"voice": "newsroom", "profile": "stable"},
    "beats": [
        {"id": 1, "narration": "Rome was not built in a day. 😀", "source_ref": {"page": [1, 2]}},
        {"id": 12, "narration": "It was burnt in six.", "tts": {"profile": "expressive", "variants": 3}},
    ],
}


def specs(folder: Path, sheet: object, **rules: Any) -> list[JobSpec]:
    """The jobs of a sheet written as JSON."""
    content = sheet if isinstance(sheet, str | bytes) else json.dumps(sheet, indent=2)
    return [found.spec for found in read_jobs(written(folder, content), FileRules(**rules))]


def test_a_beat_is_a_job(tmp_path: Path) -> None:
    """Request id, output name, callback data and text as the contract says."""
    first, second = specs(tmp_path, SHEET)
    assert (first.request_id, first.output_name) == ("rome-101:beat-001", "rome-101/beat-001")
    assert first.callback_data == {
        "topic_id": "rome-101",
        "beat_id": 1,
        "total_beats": 2,
        "topic_title": "Rome in a day",
        "source_ref": {"page": [1, 2]},
    }
    assert first.text == "Rome was not built in a day. 😀"
    assert (first.task, first.voice, first.profile, first.variants) == ("speak", "newsroom", "stable", 1)
    assert second.request_id == "rome-101:beat-012"
    assert (second.profile, second.variants) == ("expressive", 3)
    assert "source_ref" not in second.callback_data


def test_yaml_is_as_good_as_json(tmp_path: Path) -> None:
    """And gives the same jobs, but for the time of queueing."""
    yaml = """\
        # a comment
        topicId: rome-101
        title: Rome in a day
        ttsDefaults: {voice: newsroom, profile: stable}
        beats:
          - id: 1
            narration: "Rome was not built in a day. 😀"
            source_ref: {page: [1, 2]}
          - {id: 12, narration: It was burnt in six., tts: {profile: expressive, variants: "3"}}
        """
    yaml = yaml.replace('"3"', "3")
    lines = "\n".join(line.removeprefix("        ") for line in yaml.splitlines())
    rules = FileRules()
    as_yaml = [found.spec for found in read_jobs(written(tmp_path, lines), rules)]
    as_json = [found.spec for found in read_jobs(written(tmp_path, json.dumps(SHEET)), rules)]
    assert as_yaml == as_json


@pytest.mark.parametrize(
    ("defaults", "own", "by_hand", "expected"),
    [
        ({"voice": "a"}, {}, {}, {"voice": "a"}),
        ({"voice": "a"}, {"voice": "b"}, {}, {"voice": "b"}),
        ({"voice": "a"}, {"speaker": "Ryan"}, {}, {"speaker": "Ryan"}),
        ({"speaker": "Ryan"}, {}, {"voice": "c"}, {"voice": "c"}),
        ({"voice": "a"}, {"speaker": "Ryan"}, {"voice": "c"}, {"voice": "c"}),
        ({"voice": "a", "variants": 2}, {"variants": 3}, {"variants": 4}, {"voice": "a", "variants": 4}),
        ({"voice": "a", "chunk": True}, {"chunk": None}, {}, {"voice": "a"}),
        ({"voice": "a", "chunk": True}, {}, {"chunk": False}, {"voice": "a"}),
        ({"voice": "a", "tone": "warm"}, {"speaker": "Ryan"}, {}, {"speaker": "Ryan"}),
        ({"speaker": "Ryan", "instruct": "calm"}, {}, {"voice": "c"}, {"voice": "c"}),
        ({"speaker": "R", "instruct": "calm"}, {"instruct_style": "x"}, {}, {"speaker": "R", "instruct_style": "x"}),
        ({"voice": "a", "profile": "stable"}, {"voice": "b"}, {}, {"voice": "b", "profile": "stable"}),
        ({}, {}, {"speaker": "Ryan", "top_p": 0.5}, {"speaker": "Ryan", "top_p": 0.5}),
    ],
)
def test_the_later_level_wins(
    tmp_path: Path, defaults: dict[str, Any], own: dict[str, Any], by_hand: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Built-in, ttsDefaults, the beat's tts, by hand; a voice replaces a speaker below it, and what was only that's."""
    sheet = {"topicId": "t", "ttsDefaults": defaults, "beats": [{"id": 1, "narration": "Say.", "tts": own}]}
    [spec] = specs(tmp_path, sheet, by_hand=by_hand)
    assert {name: value for name, value in spec.content().items() if name != "text"} == expected


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    """With its line and its place in the sheet."""
    sheet = """\
{
  "topicId": "rome",
  "titel": "Rome",
  "ttsDefaults": {"profil": "stable"},
  "beats": [
    {"id": 1, "naration": "x", "tts": {"voice": "v"}},
    {"id": "2", "narration": "x", "tts": {"voice": "V!", "speakr": "x",
       "variants": 1.5, "text": "y"}},
    {"id": 3, "narration": " ", "tts": 4},
    {"id": 3, "narration": "x", "tts": {"voice": "a", "speaker": "b"}},
    7,
    null,
    {"id": -1, "narration": 5, "tts": {"voice": "v", "select_best": "maybe"}},
    {"id": true, "narration": "x", "tts": {"voice": "v"}, "source_ref": {"n": 1e999}},
    {"id": 9, "narration": "x"}
  ]
}"""
    assert said(tmp_path, sheet) == [
        "3: titel: is no known field; did you mean 'title'?",
        "4: ttsDefaults.profil: is no known speech field; did you mean 'profile'?",
        "6: beats[0].naration: is no known field; did you mean 'narration'?",
        "6: beats[0].narration: is missing; write text: what is to be said",
        "7: beats[1].id: must be a whole number such as 7, not '2'",
        "7: beats[1].tts.speakr: is no known speech field; did you mean 'speaker'?",
        "7: beats[1].tts.voice: 'V!' is no voice name; use 1 to 64 small letters, digits and inner hyphens",
        "8: beats[1].tts.text: does not belong here; a beat's text is its narration",
        "8: beats[1].tts.variants: must be a whole number such as 3, not 1.5",
        "9: beats[2].narration: is blank; write text: what is to be said",
        "9: beats[2].tts: must be a mapping of speech fields, not 4",
        "9: beats[2]: has no voice: name voice or speaker in its tts or ttsDefaults, or give one to enqueue-beatsheet",
        "10: beats[3].id: 3 stands in beats[2] on line 9 too; give each beat its own",
        "10: beats[3].tts.voice: stands beside speaker; keep one (voice: null removes one that came from defaults)",
        "11: beats[4]: must be a mapping with id and narration",
        "12: beats[5]: is empty; remove it",
        "13: beats[6].id: is -1; use 0 to 999999",
        "13: beats[6].narration: must be text: what is to be said, not 5",
        "13: beats[6].tts.select_best: must be true or false, not 'maybe'",
        "14: beats[7].id: must be a whole number such as 7, not True",
        "14: beats[7].source_ref: inf is no number in JSON; remove it or put it in quotes",
        "15: beats[8]: has no voice: name voice or speaker in its tts or ttsDefaults, or give one to enqueue-beatsheet",
    ]


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ('{"beats": []}', ["1: topicId: is missing; write text, such as rome-101"]),
        ('{"topicId": "t"}', ["1: beats: is missing; write the list of beats"]),
        ('{"topicId": 7,\n"beats": []}', ["1: topicId: must be text, such as rome-101, not 7"]),
        ('{"topicId": "../x",\n"beats": []}', ["1: topicId: '../x' has a part '..'; name the place below the"]),
        ('{"topicId": "a",\n"beats": {}}', ["2: beats: must be a list of beats"]),
        ('{"topicId": "a",\n"topicId": "b", "beats": []}', ["2: topicId: stands twice, first on line 1; keep one"]),
        ('{"topicId": "a", "totalBeats": "3", "beats": []}', ["1: totalBeats: must be a whole number, not '3'"]),
        ('{"topicId": "a", "schema_version": 2, "beats": []}', ["1: schema_version: is 2; only 1 is known"]),
        ("topicId: a\nbeats: [{id: 1, narration: &x hello}]", ["2: beats[0].narration: the anchor &x is not read"]),
        ("topicId: a\nbeats: [*x]", ["2: beats[0]: the alias *x is not read"]),
        ('{"topicId": "a", "beats": [', ["2: is no YAML"]),
        ("topicId: a\nbeats: []\n---\n", ["3: a second document starts here"]),
        ("topicId: a\nbeats:\n- id: 1\n\tnarration: x", ["4: is no YAML: a tab stands in the indentation"]),
        ('{"topicId": "a", "beats": ' + "[" * 50_000, ["1: is nested deeper than 64 levels"]),
        ("topicId: a\nbeats: \xff".encode("latin-1"), ["2: is no UTF-8"]),
    ],
)
def test_what_is_no_beatsheet(tmp_path: Path, sheet: str | bytes, expected: list[str]) -> None:
    """Said in words, with the line, whatever it is."""
    found = said(tmp_path, sheet)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_a_job_file_is_not_taken_for_a_beatsheet(tmp_path: Path) -> None:
    """Where a beatsheet must be, a job file is sent to its own command."""
    found = said(tmp_path, "jobs:\n- {output_name: a, voice: v, text: t}\n", by_hand={})
    assert found[0] == "1: jobs: belongs to a job file; queue that with `job-runner enqueue`"
    assert said(tmp_path, "", by_hand={}) == ["1: is empty; a beatsheet has topicId and beats"]
    assert said(tmp_path, "- 1", by_hand={}) == ["1: is no beatsheet: a mapping with topicId and beats in it"]


@pytest.mark.parametrize(
    ("content", "beatsheet"),
    [
        ('{"title": {"a": [1, {"topicId": 1}]}, "beats": []}', True),
        ("title: x\nnotes: [1, [2]]\nttsDefaults: {}\n", True),
        ("jobs: []\ntopicId: x\n", False),
        ("defaults: {}\nbeats: []\n", False),
        ("text: topicId\nvoice: v\n", False),
        ("- topicId: x\n", False),
        ("notes: {topicId: x}\njobs: []\n", False),
        ("", False),
        ("{[", False),
    ],
)
def test_a_beatsheet_is_known_by_its_root(tmp_path: Path, content: str, beatsheet: bool) -> None:  # noqa: FBT001 - a case
    """By the first key that only one of the two kinds has."""
    problems = said(tmp_path, content)
    assert any("topicId: is missing" in each or "beats: is missing" in each for each in problems) is beatsheet


def test_no_voice_at_all_is_said_once(tmp_path: Path) -> None:
    """Not sixty times."""
    beats = [{"id": number, "narration": "x"} for number in range(60)]
    assert said(tmp_path, json.dumps({"topicId": "t", "beats": beats})) == [
        "1: beats: no beat has a voice: name voice or speaker in ttsDefaults, or give one to enqueue-beatsheet"
    ]


def test_what_is_wrong_with_a_flag_is_said_once(tmp_path: Path) -> None:
    """It names the flag; what a default says wrong is named at the default."""
    beats = [{"id": number, "narration": "x"} for number in range(60)]
    sheet = json.dumps({"topicId": "t", "ttsDefaults": {"top_p": 2}, "beats": beats}, indent=1)
    assert said(tmp_path, sheet, by_hand={"voice": "V", "variants": 0}) == [
        "4: ttsDefaults.top_p: must be at most 1.0, not 2",
        "7: beats[0]: --voice: 'V' is no voice name; use 1 to 64 small letters, digits and inner hyphens",
        "7: beats[0]: --variants: must be at least 1, not 0",
    ]


def test_who_inspects_is_heard(tmp_path: Path) -> None:
    """An unknown voice stands where it was named."""

    def inspect(spec: JobSpec) -> list[FieldProblem]:
        return [] if spec.voice == "newsroom" else [FieldProblem("voice", "unknown")]

    sheet = {**SHEET, "beats": [{"id": 1, "narration": "x", "tts": {"voice": "v"}}, {"id": 2, "narration": "y"}]}
    assert said(tmp_path, json.dumps(sheet), inspect=inspect) == ["1: beats[0].tts.voice: unknown"]
    sheet["beats"] = [{"id": 1, "narration": "x", "tts": {"voice": "v", "variants": 0}}]
    assert [
        line.partition(": ")[2].partition(":")[0] for line in said(tmp_path, json.dumps(sheet), inspect=inspect)
    ] == [
        "beats[0].tts.variants",
        "beats[0].tts.voice",
    ]


def test_a_wrong_total_is_a_notice(tmp_path: Path) -> None:
    """A part of a topic is a sheet too; its own number is kept."""
    told: list[str] = []
    first, _ = specs(tmp_path, {**SHEET, "totalBeats": 60}, notice=told.append)
    assert first.callback_data["total_beats"] == 60
    assert len(told) == 1
    assert told[0].endswith(":4: totalBeats is 60, the file has 2; 60 is kept as total_beats")
    sheet = {name: value for name, value in SHEET.items() if name != "totalBeats"}
    first, _ = specs(tmp_path, sheet, notice=told.append)
    assert (first.callback_data["total_beats"], len(told)) == (2, 1)


def test_limits_hold(tmp_path: Path) -> None:
    """A beat larger than a job may be, a file larger than allowed, a topic whose names are too long."""
    beats = [{"id": 1, "narration": "x" * 5_000, "tts": {"voice": "v"}}]
    [problem] = said(tmp_path, json.dumps({"topicId": "t", "beats": beats}), max_job_bytes=1_000)
    assert problem == "1: beats[0]: is larger than JOBS_MAX_JOB_BYTES allows; make it smaller"
    [problem] = said(tmp_path, json.dumps({"topicId": "t" * 600, "beats": []}))
    assert "at most 512 are allowed" in problem
    path = written(tmp_path, json.dumps(SHEET))
    with pytest.raises(InvalidInputError, match="JOBS_MAX_FILE_BYTES"):
        check_file(path, FileRules(max_file_bytes=100))


def test_a_thousand_mistakes_end_the_reading(tmp_path: Path) -> None:
    """A hundred are shown, the rest counted."""
    beats = [{"id": "x", "narration": 1} for _ in range(2_000)]
    report = check_file(written(tmp_path, json.dumps({"topicId": "t", "beats": beats}, indent=1)), FileRules())
    assert (len(report.problems), report.more) == (100, 900)


def test_the_sixty_beats() -> None:
    """The sheet that benches and hearing tests use: sixty sound beats, ten of them with three takes compared."""
    found = list(read_jobs(SIXTY, FileRules()))
    assert len({each.spec.request_id for each in found}) == 60
    assert sum(each.spec.select_best and each.spec.variants == 3 for each in found) == 10
    assert all(110 <= len(each.spec.text or "") <= 260 for each in found)
    assert all(each.spec.callback_data["total_beats"] == 60 for each in found)
    assert found[0].line < found[1].line
