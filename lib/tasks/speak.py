"""The `speak` task: a job's text becomes WAV files in its work directory.

It only joins the parts: the request and the takes are `lib.voice_synth`'s, the warm engine the context's. It
runs in a child process, where synthesis may block, and where numpy and the model's memory stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.tasks.base import Output, TaskContext, TaskResult, built_in_kind

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec, TaskKind
    from lib.voice_synth.documents import TakeFile


class Speak:
    """Speaks a job's text with the engine its voice or speaker names."""

    @property
    def kind(self) -> TaskKind:
        """The built-in `speak`."""
        return built_in_kind("speak")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Make every take; the same job gives the same bytes in any process.

        Raises `PermanentError` for a voice that is not there or is broken, for a speaker, language or text that the
        engine cannot do, and for audio that fails its checks on an engine that would only repeat it.
        """
        # numpy costs 25 MB and 0.1 s: only the child that speaks pays, not the watcher that lists its tasks.
        from lib.voice_synth.clips import SpokenAnew  # noqa: PLC0415
        from lib.voice_synth.request import request_of_job  # noqa: PLC0415
        from lib.voice_synth.takes import Speaking  # noqa: PLC0415

        request = request_of_job(job, engine=context.engines.only)
        clips = context.clips if job.cache else SpokenAnew(context.clips)
        speaking = Speaking(request, context.engines, context.work_dir, voices=context.voices, clips=clips)
        for step in speaking.steps():
            if step.nearly:
                context.nearly_over()
                continue
            await context.progress(step.percent, step=step.done, total=step.total, message=step.message)
        report = speaking.report()
        return TaskResult(result=report.summary, outputs=tuple(_output(file) for file in report.files))


def _output(file: TakeFile) -> Output:
    # To a record text.txt and result.json are more about the takes; takes.meta.json comes first among them.
    return Output(file.path.name, file.path, file.kind if file.kind in {"best", "take"} else "meta")
