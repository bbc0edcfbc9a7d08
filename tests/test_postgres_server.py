"""The PostgreSQL that other tests stand on: it starts from every source of programs, and survives a crash."""

import psycopg
import pytest
from postgres_server import Server, binaries, packaged


@pytest.mark.parametrize("programs", [binaries, packaged])
def test_it_starts_crashes_and_comes_back_with_its_data(programs):
    server = Server(programs())
    try:
        address = server.database().replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE kept (n integer)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.kill()
        server.start()
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
    finally:
        server.stop()
    assert not server.root.exists()
