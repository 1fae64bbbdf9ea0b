"""What a corpus location may lead to: what is below the root, and the one database server that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.corpus.opening import open_corpus
from lib.corpus.places import CorpusPlaces, is_url, shown_url
from lib.errors import InvalidInputError, NotFoundError
from lib.settings import Settings

SERVER = "postgresql+pg8000://ann:s%40crEt-7@db.example:6432/corpora"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a corpus in it, beside a file that is nobody's business."""
    (tmp_path / "root/deep").mkdir(parents=True)
    (tmp_path / "root/deep/a.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "root/deep/a.sqlite3").write_bytes(b"")
    (tmp_path / "secret.jsonl").write_text('{"id": 1}\n')
    return tmp_path / "root"


def test_files_below_the_root_are_found(root: Path) -> None:
    """By their relative names, and by absolute ones that lie below it."""
    places = CorpusPlaces(root, "")
    assert places.file("deep/a.jsonl") == root / "deep/a.jsonl"
    assert places.file("deep/../deep/a.jsonl") == root / "deep/a.jsonl"
    assert places.file(str(root / "deep/a.jsonl")) == root / "deep/a.jsonl"
    assert places.database("sqlite:///deep/a.sqlite3") == f"sqlite:///{root}/deep/a.sqlite3"


@pytest.mark.parametrize(
    "location", ["../secret.jsonl", "deep/../../secret.jsonl", "/etc/passwd", ".", "deep/..", "a\0b"]
)
def test_nothing_else_is(location: str, root: Path) -> None:
    """Neither dots nor a root of its own lead out."""
    places = CorpusPlaces(root, "")
    with pytest.raises(InvalidInputError):
        places.file(location)
    with pytest.raises(InvalidInputError):
        places.database(f"sqlite:///{location}")


def test_no_symlink_leads_out(root: Path) -> None:
    """Of the file, of a folder on the way, or of what would be written beside it; within the root they may."""
    places = CorpusPlaces(root, "")
    (root / "link.jsonl").symlink_to(root.parent / "secret.jsonl")
    (root / "up").symlink_to(root.parent)
    (root / "fine.jsonl").symlink_to(root / "deep/a.jsonl")
    for location in ("link.jsonl", "up/secret.jsonl"):
        with pytest.raises(InvalidInputError, match="does not lie below"):
            places.file(location)
    assert places.file("fine.jsonl") == root / "deep/a.jsonl"
    (root / "deep/a.jsonl.annotations.sqlite3").symlink_to(root.parent / "elsewhere.sqlite3")
    with pytest.raises(InvalidInputError, match="are a symlink"):
        open_corpus(places, "deep/a.jsonl")


def test_what_is_not_here_says_where_it_should_be(root: Path) -> None:
    """A watcher on another machine does not see the planner's disk."""
    for location in ("none.jsonl", "deep"):
        with pytest.raises(NotFoundError, match="is no file") as caught:
            CorpusPlaces(root, "").file(location)
        assert "WATCHER_CORPUS_ROOT of every machine" in (caught.value.hint or "")
    with pytest.raises(NotFoundError, match="no database"):
        CorpusPlaces(root, "").database("sqlite:///none.sqlite3")


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://ann@db.example:6432/corpora",
        "postgres://ann@db.example:6432/corpora",
        "postgresql+pg8000://ann:other@db.example:6432/corpora",
    ],
)
def test_the_password_comes_from_here(location: str, root: Path) -> None:
    """A job names the server; DATABASE_URL knows the password."""
    assert CorpusPlaces(root, SERVER).database(location) == SERVER


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://ann@db.example/corpora",
        "postgresql://bob@db.example:6432/corpora",
        "postgresql://ann@other.example:6432/corpora",
        "postgresql://ann@db.example:6432/other",
        "postgresql://ann@db.example:6432/corpora?host=other",
        "postgresql://db.example:6432/corpora",
        "postgresql://ann@db.example:port/corpora",
        "mysql://ann@db.example/corpora",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///deep/a.sqlite3?mode=ro",
    ],
)
def test_another_server_is_refused(location: str, root: Path) -> None:
    """A job makes no watcher connect to where it likes; no message shows a password."""
    with pytest.raises(InvalidInputError) as caught:
        CorpusPlaces(root, SERVER).database(location)
    assert "crEt" not in str(caught.value)


def test_without_a_server_of_our_own_none_can_be_reached(root: Path) -> None:
    """It says what to set."""
    with pytest.raises(InvalidInputError, match="DATABASE_URL names no PostgreSQL here"):
        CorpusPlaces(root, "sqlite:///x").database("postgresql://ann@db.example/corpora")


def test_the_sqlite_file_of_the_settings_may_be_anywhere(root: Path, tmp_path: Path) -> None:
    """It is the operator's own choice."""
    own = f"sqlite:///{tmp_path}/own.sqlite3"
    assert CorpusPlaces(root, own).database(own) == own
    with pytest.raises(InvalidInputError):
        CorpusPlaces(root, own).database(f"sqlite:///{tmp_path}/other.sqlite3")


def test_what_somebody_types_becomes_what_a_job_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the root, without a password; what no job may name is refused where it is typed."""
    places = CorpusPlaces(root, SERVER)
    monkeypatch.chdir(root / "deep")
    assert places.location_of("a.jsonl") == "deep/a.jsonl"
    assert places.location_of(str(root / "deep/a.jsonl")) == "deep/a.jsonl"
    assert places.location_of("sqlite:///a.sqlite3") == "sqlite:///deep/a.sqlite3"
    assert places.location_of(SERVER) == "postgresql+pg8000://ann@db.example:6432/corpora"
    with pytest.raises(InvalidInputError, match="does not lie below") as caught:
        places.location_of("../../secret.jsonl")
    assert "WATCHER_CORPUS_ROOT" in (caught.value.hint or "")


def test_a_database_needs_a_table_and_a_file_has_none(root: Path) -> None:
    """Said before anything is opened."""
    places = CorpusPlaces(root, SERVER)
    with pytest.raises(InvalidInputError, match="no table is named"):
        open_corpus(places, "sqlite:///deep/a.sqlite3")
    with pytest.raises(InvalidInputError, match="which has no table 'x'"):
        open_corpus(places, "deep/a.jsonl", table="x")


def test_urls_are_told_from_files_and_shown_without_their_secret(tmp_path: Path) -> None:
    """A message must not be where a password is found."""
    assert is_url("sqlite:///x")
    assert not is_url("x/y.jsonl")
    assert shown_url("postgresql://ann:secret@h/x") == "postgresql://ann@h/x"
    assert shown_url("sqlite:///x") == "sqlite:///x"
    assert CorpusPlaces.of(Settings.load({"HOME": str(tmp_path)})).root == Path.cwd()


def test_a_server_with_a_nul_in_its_name_is_refused(tmp_path: Path) -> None:
    """In the job's URL and in our own; the driver would end in an error of its own."""
    for location, known in (
        ("postgresql://u@h/a%00", "postgresql://u:p@h/a"),
        ("postgresql://u@h/a", "postgresql://u:p@h/a%00"),
    ):
        with pytest.raises(InvalidInputError, match=r"holds a NUL \(%00\)"):
            CorpusPlaces(tmp_path, known).database(location)
