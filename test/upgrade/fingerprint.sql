-- Everything that the extension is made of, one line a fact, without oids: two installations are equal iff these lines are.
-- Column order is left out: a column that an upgrade adds comes last.
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;
SELECT 'extension ' || e.extversion || ' ' || n.nspname || ' ' || e.extrelocatable FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'mailer';
SELECT 'member ' || i.type || ' ' || i.identity
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'mailer'
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' ORDER BY 1;
SELECT 'dumped ' || c.relname || ' ' || x.condition
FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) x(oid, condition) JOIN pg_class c ON c.oid = x.oid WHERE e.extname = 'mailer' ORDER BY 1;
SELECT 'relation ' || c.relname || ' ' || c.relkind::text || ' ' || c.relpersistence::text || ' ' || COALESCE(c.reloptions::text, '') || ' ' || COALESCE(c.relacl::text, '') || ' ' || COALESCE(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace ORDER BY 1;
SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || a.attidentity::text || ' ' || a.attstorage::text || ' '
    || COALESCE(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || COALESCE(col_description(c.oid, a.attnum), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind IN ('r', 'v', 'c') ORDER BY 1;
SELECT 'constraint ' || COALESCE(c.conrelid::regclass::text, '') || ' ' || c.conname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.connamespace = 'mailer'::regnamespace ORDER BY 1;
SELECT 'index ' || pg_get_indexdef(c.oid) FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'i' ORDER BY 1;
SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'mailer'::regnamespace AND NOT t.tgisinternal ORDER BY 1;
SELECT 'view ' || c.relname || ' ' || pg_get_viewdef(c.oid) FROM pg_class c WHERE c.relnamespace = 'mailer'::regnamespace AND c.relkind = 'v' ORDER BY 1;
SELECT 'routine ' || p.oid::regprocedure || ' ' || COALESCE(pg_get_function_result(p.oid), '') || ' ' || pg_get_function_arguments(p.oid) || ' ' || concat(p.provolatile, p.proparallel, p.proisstrict, p.prosecdef) || ' '
    || COALESCE(p.proconfig::text, '') || ' ' || COALESCE(p.proacl::text, '') || ' ' || COALESCE(p.probin, '') || ' ' || md5(p.prosrc) || ' ' || COALESCE(obj_description(p.oid, 'pg_proc'), '')
FROM pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace ORDER BY 1;
SELECT 'type ' || t.typname || ' ' || t.typtype::text || ' ' || COALESCE(t.typacl::text, '') || ' ' || COALESCE(obj_description(t.oid, 'pg_type'), '')
FROM pg_type t WHERE t.typnamespace = 'mailer'::regnamespace ORDER BY 1;
SELECT 'event trigger ' || t.evtname || ' ' || t.evtevent FROM pg_event_trigger t WHERE t.evtfoid IN (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'mailer'::regnamespace) ORDER BY 1;
