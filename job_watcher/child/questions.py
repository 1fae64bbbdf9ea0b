"""What a body in a child may ask of its watcher, and the form that question and answer travel in.

A paid call is the watcher's: it holds the key, the quota and the budget, and a child sees none of them. Each kind of
question has one pair of functions here for either end, so that both spell it the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from lib.capabilities.speech_model import Spoken
from lib.capabilities.text_model import TextAnswer, TextRequest
from lib.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.capabilities.speech_model import SpeechModel
    from lib.capabilities.text_model import TextModel

TEXT: Final = "text"
SPEECH: Final = "speech"

MAX_DATA_BYTES: Final = 64 * 1024 * 1024
"""The longest speech that a model gives in one answer is 22 minutes of 48 kB a second."""


@dataclass(frozen=True, slots=True)
class Question:
    """`payload` is plain JSON; what stands in it is the business of the `kind`."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """Plain JSON, and the bytes that would be too many for it."""

    payload: dict[str, Any]
    data: bytes = b""


class Answers(Protocol):
    """Whoever answers the bodies of one attempt."""

    @property
    def models(self) -> Mapping[str, str]:
        """The kinds of question that are answered, each with the name of the model that does."""

    async def answer(self, question: Question) -> Reply:
        """Answer one question; many may be under way at once, and a cancelled one leaves nothing behind.

        What it raises is raised in the body, as `lib.errors.TaskError` of the same type.
        """


class ModelAnswers:
    """Answers from models, each None where there is none. Their limits are theirs: it only carries."""

    def __init__(self, text: TextModel | None = None, speech: SpeechModel | None = None) -> None:
        self._text = text
        self._speech = speech

    @property
    def models(self) -> Mapping[str, str]:
        """Of those that there are."""
        found = {TEXT: self._text, SPEECH: self._speech}
        return {kind: model.model for kind, model in found.items() if model is not None}

    async def answer(self, question: Question) -> Reply:
        """Ask the model of this kind.

        Raises:
            PermanentError: there is none, or the question makes no sense.
            TaskError: as the model has it.

        """
        if question.kind == TEXT and self._text is not None:
            return _of_answer(await self._text.answer(_text_request_of(question.payload)))
        if question.kind == SPEECH and self._speech is not None:
            return _of_spoken(await self._speech.speak(*_speech_parts_of(question.payload)))
        raise PermanentError(
            f"the job asked its watcher for {question.kind!r}, which this backend does not answer",
            hint="does its TaskKind name the capability that it needs?",
        )


def ask_for_text(request: TextRequest) -> Question:
    """The question that `request` is."""
    schema = None if request.schema is None else dict(request.schema)
    return Question(TEXT, {**asdict(request), "schema": schema})


def text_answer_of(reply: Reply) -> TextAnswer:
    """What the model answered."""
    return TextAnswer(**reply.payload)


def ask_for_speech(text: str, voice_name: str, style: str) -> Question:
    """The question for the sound of a text."""
    return Question(SPEECH, {"text": text, "voice_name": voice_name, "style": style})


def spoken_of(reply: Reply) -> Spoken:
    """What was spoken."""
    return Spoken(pcm=reply.data, **reply.payload)


def _text_request_of(payload: Mapping[str, Any]) -> TextRequest:
    try:
        return TextRequest(**payload)
    except TypeError as exc:
        raise PermanentError(f"no question for a text model: {exc}") from exc


def _of_answer(answer: TextAnswer) -> Reply:
    return Reply(asdict(answer))


def _speech_parts_of(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    match payload:
        case {"text": str(text), "voice_name": str(voice_name), "style": str(style)}:
            return text, voice_name, style
    raise PermanentError(f"no question for a speech model: {sorted(payload)}")


def _of_spoken(spoken: Spoken) -> Reply:
    parts = asdict(spoken)
    return Reply(parts, parts.pop("pcm"))
