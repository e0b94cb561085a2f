-- The database in front of the cells: it holds no mail, only where each tenant is. Run it as a superuser:
--
--   psql -d front -v cell1='host=… dbname=…' -v cell2=… -v cell3=… -f front.sql
--
-- PL/Proxy (postgresql-15-plproxy) sends each call to the cell of its tenant, over PgBouncer where there is one
-- (pgbouncer.ini). It needs a power of two of partitions; three cells share eight, and a fourth one takes some of them by
-- ALTER SERVER once its tenants have moved there.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS plproxy;
CREATE SCHEMA cells;
CREATE SERVER mail FOREIGN DATA WRAPPER plproxy OPTIONS (
    connection_lifetime '600', disable_binary '1',
    p0 :'cell1', p1 :'cell2', p2 :'cell3', p3 :'cell1', p4 :'cell2', p5 :'cell3', p6 :'cell1', p7 :'cell2');
CREATE USER MAPPING FOR PUBLIC SERVER mail OPTIONS (user 'front');

-- One partition of each cell, by which that cell alone is asked.
CREATE TABLE cells.cell (name text PRIMARY KEY, partition integer NOT NULL);
INSERT INTO cells.cell VALUES ('cell1', 0), ('cell2', 1), ('cell3', 2);
-- Tenants that aren't where their name's hash says.
CREATE TABLE cells.moved (tenant text PRIMARY KEY, partition integer NOT NULL);

CREATE FUNCTION cells.partition_of(tenant text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT m.partition FROM cells.moved m WHERE m.tenant = partition_of.tenant), hashtext(partition_of.tenant))
$$;
CREATE FUNCTION cells.cell_of(tenant text, OUT cell text) LANGUAGE plproxy AS $$
    CLUSTER 'mail'; RUN ON cells.partition_of(tenant); SELECT name FROM cells.self;
$$;

-- What applications call. It is committed in the cell when it returns, whatever becomes of the caller's transaction here.
CREATE FUNCTION cells.enqueue(tenant text, recipient text, subject text, body_text text, idempotency_key text) RETURNS bigint
LANGUAGE plproxy AS $$
    CLUSTER 'mail'; RUN ON cells.partition_of(tenant);
$$;

-- All cells at once; an error when one of them is down.
CREATE FUNCTION cells.status(OUT cell text, OUT pending bigint, OUT sending bigint, OUT sent bigint, OUT failed bigint, OUT unconfirmed bigint,
    OUT worker text) RETURNS SETOF record LANGUAGE plproxy AS $$
    CLUSTER 'mail'; RUN ON ALL;
$$;
CREATE FUNCTION cells.metrics(OUT cell text, OUT metrics text) RETURNS SETOF record LANGUAGE plproxy AS $$
    CLUSTER 'mail'; RUN ON ALL;
$$;
CREATE FUNCTION cells.health_of(partition integer, OUT cell text, OUT severity text, OUT subject text, OUT problem text, OUT hint text)
RETURNS SETOF record LANGUAGE plproxy AS $$
    CLUSTER 'mail'; RUN ON partition; SELECT * FROM cells.health();
$$;
-- One after the other, and a cell that is down is a line of it: what monitoring should look at.
CREATE FUNCTION cells.health(OUT cell text, OUT severity text, OUT subject text, OUT problem text, OUT hint text) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT c.name, c.partition FROM cells.cell c ORDER BY 1 LOOP
        BEGIN
            RETURN QUERY SELECT h.* FROM cells.health_of(one.partition) h;
        EXCEPTION WHEN OTHERS THEN
            RETURN QUERY SELECT one.name, 'critical', 'cell', left(SQLERRM, 200), 'Its mail waits in it; mail of other cells goes on.'::text;
        END;
    END LOOP;
END $$;
