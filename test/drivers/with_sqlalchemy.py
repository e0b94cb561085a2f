"""SQLAlchemy: named parameters through psycopg 2; JSON with its own type."""

import json
import re

import psycopg2.extras
from calls import check
from sqlalchemy import create_engine, text

psycopg2.extras.register_uuid()
engine = create_engine("postgresql+psycopg2://", isolation_level="AUTOCOMMIT")


def execute(sql, params):
    names = [f"p{n}" for n in range(len(params))]
    remaining = iter(names)
    statement = text(re.sub("%s", lambda _: f":{next(remaining)}", sql))
    with engine.connect() as connection:
        return connection.execute(statement, dict(zip(names, params))).scalar()


check(execute, json.dumps)
