"""How defaults and rows become jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.lib.jobfile.written import jobs, said

if TYPE_CHECKING:
    from pathlib import Path


def only(folder: Path, content: str) -> Any:
    """The spec of a file with one job."""
    (job,) = jobs(folder, content)
    return job.spec


def test_a_row_overrides_a_default(tmp_path: Path) -> None:
    """The nearer word counts."""
    spec = only(
        tmp_path, "defaults: {voice: v, variants: 2, chunk: yes}\njobs: [{output_name: a, text: t, variants: 3}]"
    )
    assert (spec.voice, spec.variants, spec.chunk) == ("v", 3, True)


def test_callback_data_is_merged_deeply(tmp_path: Path) -> None:
    """A row adds to and replaces in what the defaults have; a null removes; lists are replaced whole."""
    spec = only(
        tmp_path,
        """
defaults:
  voice: v
  callback_data: {show: {name: S, season: 1, tags: [a, b]}, drop: 1, keep: {x: 1}}
jobs:
  - output_name: a
    text: t
    callback_data: {show: {season: 2, tags: [c], note: null}, drop: null, own: null, keep: {x: {y: 2}}}
""",
    )
    assert spec.callback_data == {
        "show": {"name": "S", "season": 2, "tags": ["c"], "note": None},
        "keep": {"x": {"y": 2}},
        "own": None,
    }


def test_one_row_does_not_change_the_defaults_of_the_next(tmp_path: Path) -> None:
    """Merging makes a copy."""
    first, second = jobs(
        tmp_path,
        "defaults: {voice: v, callback_data: {a: {b: 1}}}\n"
        "jobs: [{output_name: a, text: t, callback_data: {a: {c: 2}}}, {output_name: b, text: t}]",
    )
    assert first.spec.callback_data == {"a": {"b": 1, "c": 2}}
    assert second.spec.callback_data == {"a": {"b": 1}}


def test_a_null_in_a_row_removes_all_of_a_default(tmp_path: Path) -> None:
    """callback_data too."""
    spec = only(
        tmp_path, "defaults: {voice: v, callback_data: {a: 1}}\njobs: [{output_name: a, text: t, callback_data: null}]"
    )
    assert spec.callback_data == {}


def test_tasks_may_be_mixed_under_one_set_of_defaults(tmp_path: Path) -> None:
    """Speech defaults are not for a job that cannot speak, nor a payload for one that does."""
    speak, sleep, napping = jobs(
        tmp_path,
        """
defaults: {language: English, voice: v, payload: {seconds: 5}, priority: low}
jobs:
  - {output_name: a, text: t}
  - {request_id: b, task: sleep}
  - {request_id: c, task: tasks.sleep_task, payload: {seconds: 1}}
""",
    )
    assert (speak.spec.voice, speak.spec.payload) == ("v", {})
    assert (sleep.spec.voice, sleep.spec.payload) == (None, {"seconds": 5.0})
    assert napping.spec.payload == {"seconds": 1.0}
    assert {job.spec.priority for job in (speak, sleep, napping)} == {"low"}


def test_a_payload_is_filled_key_by_key(tmp_path: Path) -> None:
    """What a job sets wins whole, what it does not say comes from defaults, and a null takes a key away."""
    text = """
defaults: {task: sleep_crud, payload: {seconds: 5, data: {a: 1, b: 2}}}
jobs:
  - {request_id: a, payload: {seconds: 1}}
  - {request_id: b, payload: {data: {a: 3}}}
  - {request_id: c, payload: {data: null}}
  - {request_id: d, payload: {}}
"""
    one, other, without, plain = (job.spec.payload for job in jobs(tmp_path, text))
    assert one == {"seconds": 1.0, "data": {"a": 1, "b": 2}}
    assert other == {"seconds": 5.0, "data": {"a": 3}}
    assert without == {"seconds": 5.0}
    assert plain == {"seconds": 5.0, "data": {"a": 1, "b": 2}}


def test_a_key_of_another_task_is_not_for_this_one(tmp_path: Path) -> None:
    """Naps and echoes share a file; a key that no task knows is a slip, and is said once where it stands."""
    nap, echo = jobs(
        tmp_path,
        """
defaults: {payload: {seconds: 5, message: hi}}
jobs: [{request_id: a, task: sleep}, {request_id: b, task: debug, payload: {}}]
""",
    )
    assert (nap.spec.payload, echo.spec.payload) == ({"seconds": 5.0}, {"message": "hi"})
    text = "defaults:\n  task: sleep\n  payload:\n    secnods: 5\njobs:\n"
    rows = "".join(f"  - {{request_id: r{at}, payload: {{seconds: 1}}}}\n" for at in range(3))
    (line,) = said(tmp_path, text + rows)
    assert line.startswith("4: defaults.payload.secnods: is no known field")


def test_a_wrong_value_of_a_payload_is_named_where_it_stands(tmp_path: Path) -> None:
    """In defaults for who inherits it, in the row for who wrote it."""
    text = "defaults:\n  task: sleep_crud\n  payload: {seconds: -1, data: 1}\njobs:\n"
    rows = "  - {request_id: a, payload: {data: 2}}\n  - {request_id: b, payload: {seconds: -2}}\n"
    places = [line.split(": ")[:2] for line in said(tmp_path, text + rows)]
    assert places == [["3", "defaults.payload.seconds"], ["6", "jobs[1].payload.seconds"]]


def test_a_task_in_defaults_is_the_task_of_every_row(tmp_path: Path) -> None:
    """A file of sleeps need not say so a thousand times."""
    spec = only(tmp_path, "defaults: {task: sleep}\njobs: [{request_id: a, payload: {seconds: 1}}]")
    assert spec.task == "sleep"


def test_a_wrong_default_is_said_once_at_its_own_line(tmp_path: Path) -> None:
    """Not once for each of a thousand rows that inherit it."""
    rows = "".join(f"  - {{output_name: r{at}, text: t}}\n" for at in range(1_000))
    lines = said(tmp_path, f"defaults:\n  voice: v\n  variants: 1.9\n  callback_data:\n    a: .nan\njobs:\n{rows}")
    assert lines == [
        "3: defaults.variants: must be a whole number such as 3, not 1.9",
        "5: defaults.callback_data.a: nan is no number in JSON; remove it or put it in quotes",
    ]


def test_an_unknown_default_is_refused_even_without_rows(tmp_path: Path) -> None:
    """With the nearest name."""
    (line,) = said(tmp_path, "defaults:\n  voise: v\njobs: []\n")
    assert line == "2: defaults.voise: is no known field; did you mean 'voice'?"


def test_names_belong_to_jobs_not_to_defaults(tmp_path: Path) -> None:
    """Every row would have the same."""
    lines = said(tmp_path, "defaults:\n  output_name: a\n  request_id: b\njobs: []\n")
    assert [line.split(" is ")[0] for line in lines] == ["2: defaults.output_name:", "3: defaults.request_id:"]


def test_speaker_beside_a_default_voice_says_how_to_remove_it(tmp_path: Path) -> None:
    """The commonest clash has its mend in the message."""
    (line,) = said(tmp_path, "defaults: {voice: v}\njobs:\n  - {output_name: a, text: t, speaker: Ryan}\n")
    assert "voice: null" in line


def test_a_row_that_excludes_a_default_is_named(tmp_path: Path) -> None:
    """The default is right for other rows: line and place are those of each row that must choose."""
    text = """\
defaults:
  voice: v
jobs:
  - {output_name: a, text: t}
  - output_name: b
    speaker: Ryan
    text: t
  - {output_name: c, speaker: Ryan, text: t}
"""
    mend = (
        "voice of defaults (line 2) stands beside speaker; keep one (voice: null removes one that came from defaults)"
    )
    assert said(tmp_path, text) == [f"6: jobs[1].speaker: {mend}", f"8: jobs[2].speaker: {mend}"]


def test_a_row_that_stands_beside_a_default_says_whose_the_other_is(tmp_path: Path) -> None:
    """The other way round, and for fields that go with one of the two only."""
    text = """\
defaults: {speaker: Ryan, instruct: slowly}
jobs:
  - {output_name: a, text: t, voice: v}
  - {output_name: b, text: t, tone: calm}
"""
    first, second, third = said(tmp_path, text)
    assert first.startswith("3: jobs[0].voice: stands beside speaker")
    assert first.endswith("; speaker comes from defaults (line 1)")
    assert second.startswith("3: jobs[0].voice: instruct of defaults (line 1) goes with speaker only")
    assert third.startswith("4: jobs[1].tone: goes with voice only")
