"""Bugs to plant: each a small change of the text of one file in a private copy of the code.

Every one breaks a rule of the protocol that looks superfluous until the fault comes that it is for; `faults` are those.
A change names the text that it replaces, which must stand in the file exactly once: a plant that has rotted fails
loudly and never passes for one that was caught. Nothing here can touch the real code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tests.chaos.machine.schedule import MACHINE_LIFE_SECONDS, Fault

if TYPE_CHECKING:
    from pathlib import Path


class RottenPlantError(Exception):
    """The text to replace is not there exactly once: the code has changed, and the plant must change with it."""


@dataclass(frozen=True, slots=True)
class Change:
    """In `file`, relative to the root of the code, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Plant:
    """One bug: what it changes, the promises of which at least one must be found broken, and what brings it out.

    No promise is named by the control, whose run must be found clean.
    """

    name: str
    changes: tuple[Change, ...]
    promises: tuple[int, ...]
    faults: tuple[Fault, ...] = ()
    seconds: float = 8.0
    work: Literal["steady", "varied", "uneven"] = "steady"
    """What the producers ask for meanwhile, by the name of its function in `workload`."""
    drained: bool = False
    """Whether the run goes on until nothing is left, and takes its last look: what is wrong shows at the end only."""

    def sow(self, code: Path) -> None:
        """Change the copy of the code at `code`.

        Raises:
            RottenPlantError: see there.

        """
        for change in self.changes:
            place = code / change.file
            text = place.read_text()
            if text.count(change.old) != 1:
                raise RottenPlantError(
                    f"{self.name}: {change.file} has its text {text.count(change.old)} times: {change.old!r}"
                )
            place.write_text(text.replace(change.old, change.new))


_LUA: Final = "lib/redisqueue/lua/"
_BEYOND: Final = MACHINE_LIFE_SECONDS + 1.4
"""A pause that outlasts a session and the sweep that ends it, and is over before the next watcher is done."""

PAUSES: Final = tuple(Fault(1.5 + i * (_BEYOND + 1.0), "long_pause", f"watcher-{i % 3 + 1}", _BEYOND) for i in range(3))
# What was sent into a blackhole arrives when it ends: the word of one who is dead to the others by then.
BLACKHOLES: Final = tuple(
    Fault(1.5 + i * (_BEYOND + 1.0), "long_blackhole", f"wire-{i % 3 + 1}", _BEYOND) for i in range(3)
)
LEADER_HALF_DEAF: Final = (Fault(3.0, "half_open", "wire-leader", 6.5),)
# One watcher's renewals are held back while all that it asks besides comes through. The server's absence moves the
# expiry of its session: so it is let work on for long after it should have stopped by itself.
HALF_DEAF: Final = (
    Fault(2.0, "half_open", "wire-2", 9.0),
    Fault(2.3, "long_server_pause", "server", MACHINE_LIFE_SECONDS + 0.5),
)
SERVER_AWAY: Final = (
    *(Fault(2.0 + i * 0.7, "clock", "server", 0.0, f"+{(i + 1) * 40}") for i in range(8)),
    Fault(8.0, "long_server_kill", "server", MACHINE_LIFE_SECONDS + 1),
)
STALE: Final = tuple(Fault(1.5 + i * 0.5, "stale_entry", "hand", 0.0, "waiting") for i in range(10))
LOST: Final = tuple(Fault(1.0 + i * 0.7, "lose_reply", "wire-p", detail="reset") for i in range(6))
KILLS: Final = tuple(Fault(2.0 + i, "kill", f"watcher-{i % 3 + 1}", 0.1, "same name") for i in range(4))

DEATHS: Final = tuple(Fault(2.0 + i, "kill", f"watcher-{i + 1}", 0.1, "new name and host") for i in range(2))

PLANTS: Final = (
    Plant(
        "nothing", (), (), tuple(sorted((*PAUSES, *BLACKHOLES[1:], *STALE, *LOST), key=lambda fault: fault.at)), 18.0
    ),
    Plant(
        "commit-without-fence",
        (
            Change(f"{_LUA}commit.lua", "local live = is_live(session)", "local live = true"),
            Change(
                f"{_LUA}commit.lua",
                "if row and row.state == 'L' and row.session == session and row.fence == ask.fence then",
                "if row and STREAM[row.stream] then",
            ),
        ),
        (3, 4),
        BLACKHOLES,
        18.0,
    ),
    Plant(
        "xack-before-record",
        (
            Change(
                "job_watcher/outcomes.py",
                "        for ending, committed in zip(endings, await leasing.commit(",
                "        for each in endings:\n"
                "            if (mine := self.in_hand.find(each.fence)) is not None:\n"
                "                lane = self.queue.keys.stream(mine.lease.lane)\n"
                "                await self.queue.client.xack(lane, 'watchers', mine.lease.entry)\n"
                "                await self.queue.client.xdel(lane, mine.lease.entry)\n"
                "        for ending, committed in zip(endings, await leasing.commit(",
            ),
        ),
        (1, 8),
        KILLS,
    ),
    Plant(
        "session-comes-back",
        (
            Change(f"{_LUA}renew.lua", "if not is_live(session) then\n  return { 0 }\nend\n", ""),
            Change(f"{_LUA}renew.lua", "K.sessions, 'XX', digits", "K.sessions, digits"),
        ),
        (4,),
        PAUSES,
        18.0,
    ),
    Plant(
        "sweep-without-gap-rule",
        (Change(f"{_LUA}sweep.lua", "if gap > 2 * interval or gap < 0 then", "if false then"),),
        (6,),
        SERVER_AWAY,
        14.0,
    ),
    Plant(
        "start-without-place",
        (
            Change(
                f"{_LUA}include/lease.lua",
                "if not is_at(row, lane, entry, fields.gen) then",
                "if not row then",
            ),
        ),
        (4, 8),
        STALE,
        10.0,
    ),
    Plant(
        "submit-without-idempotency",
        (Change(f"{_LUA}include/accept.lua", "  if not ask.fresh then\n", "  if false then\n"),),
        (2,),
        LOST,
        4.0,
    ),
    Plant(
        "move-without-epoch",
        (
            Change(
                f"{_LUA}move.lua",
                "if not is_live(session) or redis.call('HGET', K.lock, 'session') ~= session\n"
                "  or redis.call('HGET', K.lock, 'epoch') ~= epoch then",
                "if false then",
            ),
        ),
        (4,),
        LEADER_HALF_DEAF,
        10.0,
    ),
    Plant(
        "key-released-by-former-holder",
        (
            Change(
                f"{_LUA}include/conflict.lua",
                "if redis.call('HGET', K.key, row.key) == holder_name(request_id, row.generation) then",
                "if true then",
            ),
        ),
        (8,),
        (),
        4.0,
    ),
    Plant(
        "sweep-that-spares-the-dead",
        (
            Change(
                f"{_LUA}sweep.lua",
                "local ended = redis.call('ZRANGEBYSCORE', K.sessions, '-inf', digits(now))",
                "local ended = {}",
            ),
        ),
        (6,),
        DEATHS,
        12.0,
    ),
    Plant(
        "first-death-is-poison",
        (
            Change(
                "lib/redisqueue/upkeep.py",
                "deaths_max=SUSPECT_DEATHS + POISON_SUSPECT_DEATHS,",
                "deaths_max=1,",
            ),
        ),
        (7,),
        DEATHS,
        12.0,
    ),
    Plant(
        "result-of-another",
        (
            Change(
                "lib/jobqueue/records.py",
                "_ENCODE(dict(result))",
                '_ENCODE({**result, "echo": "another"})',
            ),
        ),
        (3,),
        (),
        4.0,
    ),
    Plant(
        "never-stops-by-itself",
        (
            Change(
                "job_watcher/session.py",
                "return self._clock.elapsed() - self._renewed_at < self.times.life - self.times.margin",
                "return True",
            ),
        ),
        (5,),
        HALF_DEAF,
        12.0,
    ),
    Plant(
        "queued-and-skipped",
        (
            Change(
                f"{_LUA}submit.lua",
                "replies[i] = place(ask, common, fence)",
                "replies[i] = i % 4 == 0 and '1-1' or place(ask, common, fence)",
            ),
        ),
        (1,),
        (),
        4.0,
    ),
    Plant(
        "every-end-is-a-failure",
        (Change(f"{_LUA}commit.lua", "status = ask.status, fence", "status = 'failed', fence"),),
        (3,),
        (),
        4.0,
    ),
    Plant(
        "cancel-that-only-says-so",
        (
            Change(
                f"{_LUA}cancel.lua",
                "  else\n    local attempt",
                "  elseif row then\n    replies[i] = 'cancelled'\n  else\n    local attempt",
            ),
        ),
        (3,),
        (),
        4.0,
    ),
    Plant(
        # Each gap between them is long enough to move every expiry, so nobody's session ever ends.
        "sweeps-too-far-apart",
        (
            Change(f"{_LUA}sweep.lua", "gap < interval * 0.9 and", "gap < interval * 2.2 and"),
            Change(f"{_LUA}sweep.lua", "return { 0, interval - gap,", "return { 0, math.max(200, interval - gap),"),
        ),
        (6,),
        DEATHS,
        20.0,
    ),
    Plant(
        "run-after-ignored",
        (
            Change(f"{_LUA}submit.lua", "tonumber(common.due_ms) <= now_ms()", "true"),
            Change(f"{_LUA}include/accept.lua", "  if ask.due_ms > now then\n", "  if false then\n"),
        ),
        (3,),
        seconds=6.0,
        work="varied",
    ),
    Plant(
        "tries-eaten",
        (Change(f"{_LUA}retry.lua", "row.attempt = row.attempt + 1", "row.attempt = row.attempt + 4"),),
        (3,),
        seconds=6.0,
        work="varied",
    ),
    Plant(
        "cancel-never-told",
        (
            Change(f"{_LUA}renew.lua", "    reply[#reply + 1] = each.fence\n", "    local _ = 1\n"),
            Change("job_watcher/control.py", 'if word.kind == "cancel" else None', "if False else None"),
        ),
        (5,),
        seconds=12.0,
        work="varied",
    ),
    Plant(
        "never-published",
        (
            Change(
                "job_watcher/publish.py",
                "newest = not stored or not name or await self.store.publish(str(name), stored, order=order)",
                "newest = True",
            ),
        ),
        (3,),
        seconds=4.0,
        work="varied",
        drained=True,
    ),
    Plant(
        # A fault would have to take just the answer to a hand-back, so here each of them is lost.
        "begins-after-hand-back",
        (
            Change(
                "job_watcher/turns.py",
                "        while not await self._is_back(held.lease):\n"
                "            await self.clock.sleep(AGAIN_SECONDS)\n",
                "        if not await self._is_back(held.lease):\n"
                '            self.in_hand.put(held, "line")\n'
                "            await turn.wait()\n"
                "            return False\n",
            ),
            Change(
                "job_watcher/turns.py",
                "            await self.hand_back(lease)\n",
                "            await self.hand_back(lease)\n"
                '            raise JobRunnerError("its answer was lost", hint="again")\n',
            ),
        ),
        (4,),
        seconds=14.0,
        work="uneven",
    ),
)
