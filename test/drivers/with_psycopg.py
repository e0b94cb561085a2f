"""psycopg 3: it sends an integer as the smallest type that holds it, a float as double precision, a text without a type."""

import os

import psycopg
from calls import check
from psycopg.types.json import Jsonb

# PgBouncer in transaction mode may give each transaction another server.
prepare = None if "POOLED" in os.environ else 0
connection = psycopg.connect("", autocommit=True, prepare_threshold=prepare)


def execute(sql, params):
    return connection.execute(sql, params).fetchone()[0]


check(execute, Jsonb)
