"""psycopg 2: it puts values into the statement as literals."""

import psycopg2
import psycopg2.extras
from calls import check

psycopg2.extras.register_uuid()
connection = psycopg2.connect("")
connection.autocommit = True


def execute(sql, params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


check(execute, psycopg2.extras.Json)
