"""Where studies live: addresses, passwords, MLflow's tables, a journal that a crash left unfinished."""

import mlflow
import optuna
import psycopg
import pytest

from mmvid.search.storage import VARIABLE, Patience, Place, initialising, locate, open_storage


def opened(place: Place, folder) -> optuna.storages.BaseStorage:
    with initialising(place, folder / "locks"):
        return open_storage(place, heartbeat=1)


def test_addresses(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert locate("", tmp_path / "j.log") == Place(None, tmp_path / "j.log")
    assert locate("other.log", tmp_path / "j.log").path == tmp_path / "other.log"
    assert str(locate("sqlite:///s.db", tmp_path / "j.log")) == f"sqlite:///{tmp_path}/s.db"
    postgres = locate("postgresql://me@host/db", tmp_path / "j.log")
    assert postgres.url.drivername == "postgresql+psycopg" and postgres.shared
    monkeypatch.setenv(VARIABLE, "postgresql://me:secret@host:5/db?sslmode=require")
    assert locate("", tmp_path / "j.log").url.password == "secret"


@pytest.mark.parametrize("address", ["postgresql://me:secret@host/db", "postgresql://me@host/db?password=secret"])
def test_a_password_comes_from_the_environment_and_is_shown_nowhere(address, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="^storage must hold no password: put it in PGPASSWORD") as raised:
        locate(address, tmp_path)
    assert "secret" not in str(raised.value)
    monkeypatch.setenv(VARIABLE, address)
    place = locate("", tmp_path)
    assert place.url.password == "secret"
    assert "secret" not in f"{place} {place!r} {place.dashboard()}"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mysql://host/db", "^storage must be a journal file, SQLite or PostgreSQL, got mysql$"),
        ("sqlite://", "^storage must be an SQLite file: other processes cannot see one in memory$"),
        ("postgresql://me:se cret@host:port/db", "^storage must be a journal file, sqlite:///file or postgresql://"),
    ],
)
def test_addresses_that_cannot_serve(address, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        locate(address, tmp_path)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(OSError, match="^storage postgresql.psycopg://me@/db.*: ") as raised:
        opened(locate(f"postgresql://me@/db?host={tmp_path}", tmp_path), tmp_path)
    assert "\n" not in str(raised.value)


def test_mlflows_database_is_refused(workplace):
    mlflow.MlflowClient().search_experiments()
    with pytest.raises(ValueError, match="holds MLflow's tables; the study needs a database of its own beside it$"):
        opened(locate(f"sqlite:///{workplace}/mlflow.db", workplace), workplace)
    assert mlflow.MlflowClient().search_experiments()  # and nothing was broken


def test_mlflows_database_on_postgresql_is_refused(workplace, postgres):
    url = postgres.database()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:  # making all of MLflow's tables takes seconds
        for table in ("experiments", "runs", "alembic_version"):
            connection.execute(f"CREATE TABLE {table} (id integer)")
    with pytest.raises(ValueError, match="holds MLflow's tables"):
        opened(locate(url, workplace), workplace)


def test_a_journal_that_ends_in_half_a_line_is_mended(tmp_path):
    place = Place(None, tmp_path / "j.log")
    study = optuna.create_study(storage=opened(place, tmp_path), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with open(place.path, "a") as file:
        file.write('{"op_code":4,"worker')
    again = optuna.load_study(storage=opened(place, tmp_path), study_name="s")
    again.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert len(optuna.load_study(storage=opened(place, tmp_path), study_name="s").trials) == 3


def test_patience_ends(tmp_path, capsys):
    def away():
        raise optuna.exceptions.StorageInternalError("away")

    with pytest.raises(OSError, match="^storage .*j.log has not answered for 0 s$"):
        Patience(Place(None, tmp_path / "j.log"), seconds=0)(away)
    assert "does not answer; waiting for it" in capsys.readouterr().err
