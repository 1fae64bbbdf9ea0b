"""What can be said of a job before it is queued: mistakes by field, and what it will not get exactly as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service.jobfiles import jobs_of
from job_runner.service.planning import plan
from job_runner.service.voicing import Voicing
from lib.errors import InvalidJobsError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.settings import Settings
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_changes import Registration, delete, register
from lib.voice_synth.library_parts import CheckedSound
from tests.lib.voice_synth.own_voices import own_voice, placed

if TYPE_CHECKING:
    from pathlib import Path


def job(**given: Any) -> JobSpec:
    """A job of the built-in voice unless another, or a speaker, is given."""
    voice = {} if "speaker" in given else {"voice": "newsroom"}
    return normalize_job_spec({"request_id": "a", "text": "Good morning.", **voice, **given})


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A directory with a voice for piper and one for hibari."""
    place = tmp_path / "s" / "voices"
    own_voice(place)
    register(place, Registration("slow-news", CheckedSound("hibari", name="heart", speed=0.8)))
    return place


@pytest.fixture
def voicing(voices: Path) -> Voicing:
    """Answers with these voices."""
    return Voicing(VoiceLibrary(voices))


def test_registered_voices_are_voices(voicing: Voicing) -> None:
    """They are no mistake, and nothing stands in for them."""
    for slug in ("newsroom", "anna", "slow-news"):
        assert voicing.problems(job(voice=slug)) == ()
        assert voicing.notes(job(voice=slug)) == ()
    assert voicing.refused == 0


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"voice": "ana"}, "voice", "anna"),
        ({"speaker": "ryan"}, "speaker", "Ryan"),
        ({"language": "Elvish"}, "language", "Elvish"),
        ({"voice": "anna", "language": "Elvish"}, "language", "piper does not speak it"),
        ({"text": "..."}, "text", "nothing that can be spoken"),
        ({"text": "\u4f60\u597d"}, "text", "\u4f60"),
        ({"voice": "anna", "text": "\u4f60\u597d"}, "text", "\u4f60"),
    ],
)
def test_a_mistake_is_told_with_its_field(given: dict[str, Any], field: str, said: str, voicing: Voicing) -> None:
    """The field is the one to mend, and the message has the mend."""
    [problem] = voicing.problems(job(**given))
    assert problem.field == field
    assert said in problem.message
    assert voicing.refused == 1


def test_a_broken_voice_is_a_mistake_of_the_jobs_that_name_it(voices: Path) -> None:
    """And of no others."""
    placed(voices, "zoe", colour="red")
    voicing = Voicing(VoiceLibrary(voices))
    [problem] = voicing.problems(job(voice="zoe"))
    assert (problem.field, "colour" in problem.message) == ("voice", True)
    assert voicing.problems(job(voice="anna")) == ()


def test_a_voice_for_an_engine_that_is_not_here(voices: Path) -> None:
    """Named with what would have to be there."""
    placed(voices, "zoe")
    [problem] = Voicing(VoiceLibrary(voices)).problems(job(voice="zoe"))
    assert problem.field == "voice"
    assert "no sound on any engine" in problem.message


def test_what_a_job_will_not_get_is_a_note(voicing: Voicing) -> None:
    """A stand-in, a field without effect, and which engine it is that ignores it."""
    [stand_in] = voicing.notes(job(speaker="Ryan"))
    assert stand_in.startswith("speaker Ryan: the bundled voice speaks in its place")
    [ignored] = voicing.notes(job(profile="stable", tone="warm"))
    assert ignored.startswith("tone, profile have no effect with the bundled voice (engine hibari)")
    [tone] = voicing.notes(job(voice="anna", profile="stable", tone="warm"))
    assert tone.startswith("tone has no effect with this voice (engine piper)")


def test_other_tasks_are_not_its_business(voicing: Voicing) -> None:
    """A job without a text has no voice."""
    spec = normalize_job_spec({"request_id": "a", "task": "debug"})
    assert (voicing.problems(spec), voicing.notes(spec)) == ((), ())


def test_the_same_question_is_asked_once(voices: Path) -> None:
    """A file of a hundred thousand rows reads each voice once: within a command the answer stays."""
    voicing = Voicing(VoiceLibrary(voices))
    assert voicing.problems(job(voice="anna")) == ()
    delete(voices, "anna")
    assert voicing.problems(job(voice="anna", text="Another text.")) == ()
    assert len(Voicing(VoiceLibrary(voices)).problems(job(voice="anna"))) == 1


def test_a_plan_knows_the_voices_of_its_settings(voices: Path, tmp_path: Path) -> None:
    """WATCHER_VOICES_DIR is where the watcher will look, so that is where a plan looks."""
    file = tmp_path / "jobs.yaml"
    file.write_text("- {request_id: a, voice: anna, text: Hi.}\n- {request_id: b, voice: ana, text: Hi.}\n")
    settings = Settings.load({"HOME": str(tmp_path), "WATCHER_VOICES_DIR": str(voices)})
    made = plan([file], settings)
    assert [each.request_id for each in made.jobs] == ["a"]
    [problem] = made.problems
    assert (problem.line, problem.where) == (2, "jobs[1].voice")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("voice: Ryan", "jobs[0].voice: 'Ryan' is no voice; Ryan is a speaker: write speaker: Ryan"),
        ("voice: ono_anna", "jobs[0].voice: 'ono_anna' is no voice; Ono_Anna is a speaker: write speaker: Ono_Anna"),
        ("voice: ryan", "jobs[0].voice: no voice is named 'ryan'; Ryan is a speaker: write speaker: Ryan"),
        ("voice: Newsroom", "jobs[0].voice: 'Newsroom' is no voice name; did you mean 'newsroom'?"),
        ("voice: 'Nobody!'", "jobs[0].voice: 'Nobody!' is no voice name; use 1 to 64 small letters"),
        (
            "speaker: newsroom",
            "jobs[0].speaker: no speaker is named 'newsroom'; newsroom is a voice: write voice: news",
        ),
        (
            "speaker: Newsroom",
            "jobs[0].speaker: no speaker is named 'Newsroom'; newsroom is a voice: write voice: news",
        ),
        ("{voice: Ryan, speaker: Ryan}", "jobs[0].voice: stands beside speaker"),
    ],
)
def test_a_speaker_is_no_voice_and_a_voice_no_speaker(tmp_path: Path, written: str, said: str) -> None:
    """The two are easily taken for each other: what the name belongs to is said, with what to write."""
    path = tmp_path / "jobs.yaml"
    path.write_text(f"- {{request_id: a, text: Hi, {written.strip('{}')}}}\n")
    (problem,) = plan([path], Settings.load({"HOME": str(tmp_path)})).problems
    assert f"{problem.where}: {problem.message}".startswith(said)


def test_a_beatsheets_voices_are_explained_too(tmp_path: Path) -> None:
    """In the sheet and given by hand."""
    path = tmp_path / "sheet.json"
    path.write_text('{"topicId": "t", "ttsDefaults": {"voice": "Ryan"}, "beats": [{"id": 1, "narration": "Hi"}]}')
    settings = Settings.load({"HOME": str(tmp_path)})
    (problem,) = plan([path], settings).problems
    assert str(problem).endswith("ttsDefaults.voice: 'Ryan' is no voice; Ryan is a speaker: write speaker: Ryan")
    with pytest.raises(InvalidJobsError) as caught, jobs_of([path], settings, by_hand={"voice": "Newsroom"}):
        pytest.fail("the block must not begin")
    assert "--voice: 'Newsroom' is no voice name; did you mean 'newsroom'?" in str(caught.value.problems[0])


class TestPinnedToTheCloud:
    """Who speaks there is known without a machine that has it."""

    @pytest.mark.parametrize(
        ("given", "field", "said"),
        [
            ({"voice": "newsroom"}, "voice", "write a speaker in its place"),
            ({"voice": "anna"}, "voice", "on your machines and not on the cloud"),
            ({"voice": "ana"}, "voice", "anna"),
            ({"speaker": "ryan"}, "speaker", "Ryan"),
            ({"speaker": "Ryan", "language": "Welsh"}, "language", "gemini does not speak"),
            ({"speaker": "Ryan", "text": "..."}, "text", "nothing that can be spoken"),
        ],
    )
    def test_a_mistake_is_told_before_it_waits_for_ever(
        self, given: dict[str, Any], field: str, said: str, voicing: Voicing
    ) -> None:
        """A voice of one's own has no place there; a language may have none."""
        [problem] = voicing.problems(job(backend="cloud", **given))
        assert (problem.field, said in problem.message) == (field, True)

    def test_what_it_will_not_get_is_told(self, voicing: Voicing) -> None:
        """Another voice, and numbers that the service takes from nobody; the same job on metal is told of metal."""
        given = {"speaker": "Ryan", "language": "Swedish", "temperature": 0.4, "instruct": "Whisper."}
        assert voicing.problems(job(backend="cloud", **given)) == ()
        assert voicing.notes(job(backend="cloud", **given)) == (
            "speaker Ryan: gemini's voice Fenrir speaks Swedish in its place",
            "temperature has no effect with this voice (engine gemini); it is kept for engines that obey",
        )
        assert voicing.notes(job(speaker="Ryan")) == (
            "speaker Ryan: the bundled voice speaks in its place, at a pace of its own",
        )
