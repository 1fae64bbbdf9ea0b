"""The kinds of job."""

from __future__ import annotations

import pytest

from lib.errors import InvalidInputError
from lib.jobqueue import BUILT_IN, Catalogue, TaskKind
from lib.jobqueue.catalogue import DEFAULT_TASK


def kind(name: str, *aliases: str) -> TaskKind:
    """A kind of which only the names matter."""
    return TaskKind(name, aliases, "any", None, 1, "inline")


def test_the_built_in_tasks_are_there_by_name_and_alias() -> None:
    """`tasks.sleep_task` and `sleep` name the same task."""
    assert {"speak", "debug", "sleep", "fast_crud", "sleep_crud"} <= set(BUILT_IN.names)
    assert BUILT_IN.get("tasks.sleep_task") is BUILT_IN.get("sleep")
    assert BUILT_IN.get("tasks.debug_task") is BUILT_IN.get("debug")
    assert BUILT_IN.get("nothing") is None
    aliases = {kind.aliases for kind in BUILT_IN.kinds if kind.name not in {"speak", "annotate"}}
    assert aliases == {(f"tasks.{name}_task",) for name in ("debug", "sleep", "fast_crud", "sleep_crud")}


def test_the_default_task_speaks_in_a_process_of_its_own() -> None:
    """CPU-bound work must not starve the session."""
    speak = BUILT_IN.get(DEFAULT_TASK)
    assert speak is not None
    assert (speak.capability, speak.isolation, speak.payload) == ("speech", "child", None)


def test_positional_arguments_are_fields_of_the_payload() -> None:
    """A manifest's args must land in fields that exist."""
    for built_in in BUILT_IN.kinds:
        assert built_in.payload is not None or not built_in.positional
        if built_in.payload is not None:
            assert set(built_in.positional) <= set(built_in.payload.model_fields)


def test_adding_kinds_leaves_the_old_catalogue_alone() -> None:
    """A catalogue is immutable: two services of one process may differ."""
    more = BUILT_IN.with_kinds(kind("knit"))
    assert more.names == (*BUILT_IN.names, "knit")
    assert BUILT_IN.get("knit") is None


@pytest.mark.parametrize("added", [kind("sleep"), kind("nap", "sleep"), kind("tasks.sleep_task"), kind("a", "a")])
def test_a_name_can_be_taken_once(added: TaskKind) -> None:
    """Two tasks under one name would run whichever was loaded last."""
    with pytest.raises(InvalidInputError, match="two tasks are called") as caught:
        BUILT_IN.with_kinds(added)
    assert caught.value.hint


def test_an_empty_catalogue_is_possible() -> None:
    """It knows nothing."""
    assert Catalogue(()).names == ()


def test_a_batch_of_records_alone_keeps_its_answers() -> None:
    """What asks again would pay twice for being put back, so a kind must say that it does not."""
    assert [each.name for each in BUILT_IN.kinds if each.keeps_answers] == ["annotate"]
    assert not kind("own").keeps_answers


def test_speech_alone_is_as_good_for_another_job() -> None:
    """What other kinds give belongs to one job: a nap that another has slept, an answer that may be another today."""
    assert [each.name for each in BUILT_IN.kinds if each.deterministic] == ["speak"]
    assert not kind("own").deterministic
