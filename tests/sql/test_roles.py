"""Who may do what: the whole catalog against what was decided. Whoever adds a table or a function decides here."""

from __future__ import annotations

import pytest

from helpers import logins
from helpers.rows import Db, column, rows
from notify.postgres.roles import ROLES

READ = "select"
WRITE = "select insert update delete"
COUNT = "select update usage"
# Everything that there is, by schema and name, and who may do what with it; for functions, who may execute them.
# notify_owner owns all, and PUBLIC may nothing.
RELATIONS: dict[str, dict[str, str]] = {
    "notify.api_key": {"notify_api": "columns id hash scopes expires_at revoked_at"},
    "notify.attempt": {"notify_api": READ},
    "notify.batch": {"notify_api": READ},
    "notify.batch_option": {},
    "notify.channel": {},
    "notify.channels": {"notify_api": READ},
    "notify.dead_letters": {"notify_api": READ, "notify_worker": READ},
    "notify.channel_state": {},
    "notify.delivery": {"notify_api": READ},
    "notify.delivery_counts": {"notify_api": READ},
    "notify.disabled_addresses": {},
    "notify.due": {},
    "notify.endpoint": {"notify_api": READ},
    "notify.idempotency": {},
    "notify.lateness": {},
    "notify.mailbox": {"notify_api": READ},
    "notify.migration": {"notify_api": READ, "notify_worker": READ},
    "notify.notification": {"notify_api": READ},
    "notify.overdue": {"notify_api": READ, "notify_worker": READ},
    "notify.recipient": {"notify_api": READ},
    "notify.secret": {},
    "notify.status_counts": {},
    "notify.stuck": {},
    "notify.template": {},
    "notify.type": {"notify_api": READ},
    "notify.wakeup": {},
    "notify.api_key_id_seq": {},
    "notify.batch_id_seq": {},
    "notify.delivery_id_seq": {},
    "notify.mailbox_generation": {},
    "notify.notification_id_seq": {},
    "notify_jobs.procrastinate_events": {"notify_worker": WRITE},
    "notify_jobs.procrastinate_jobs": {"notify_worker": WRITE},
    "notify_jobs.procrastinate_periodic_defers": {"notify_worker": WRITE},
    "notify_jobs.procrastinate_workers": {"notify_worker": WRITE},
    "notify_jobs.procrastinate_events_id_seq": {"notify_worker": COUNT},
    "notify_jobs.procrastinate_jobs_id_seq": {"notify_worker": COUNT},
    "notify_jobs.procrastinate_periodic_defers_id_seq": {"notify_worker": COUNT},
    "notify_jobs.procrastinate_workers_id_seq": {"notify_worker": COUNT},
}
DOORS = {
    "schedule cancel cancel_reference reschedule send retry schedule_status upsert_recipients": "app api",
    "upsert_recipient": "app",
    "now": "app api worker",
    "cancel_batches delete_recipient hold_mailboxes idempotency_begin idempotency_finish mark_read ack": "api",
    "schedule_together listen token_key epoch": "api",
    "put_template find_template list_templates delete_template": "api",
    "replay_deliveries replay_failed set_channel set_type enable_address unsubscribe": "api",
    "unsubscribe_key": "api worker",
    "drain pick park plan tidy rescue_deliveries delete_cancelled delete_old": "worker",
    "register_channels lease_deliveries record_attempts release_deliveries release_held": "worker",
    "next_deliveries plan_deliveries installation": "worker",
}
INNER = (
    "accept admit_deliveries changed_recipients check_content check_options check_preferences check_recipients"
    " check_opt_out check_retry check_size check_template check_template_texts check_time close_deliveries conclude"
    " delete_empty_batches distinct_ids hold_recipient hold_template is_crowded is_deep is_opted_out"
    " judge_deliveries localized next_due note_endpoints pick_chunk put_away quiet_until refuse rest_channel"
    " ring ring_at_commit ring_for send_signals settle store take_deliveries take_mailboxes with_opt_outs"
)
FUNCTIONS = {name: set(who.split()) for names, who in DOORS.items() for name in names.split()} | {
    name: set() for name in INNER.split()
}
# These run with their caller's rights all the same: they read no table.
PLAIN_DOORS = {"now", "epoch"}

RIGHTS = """
with roles as (select unnest(%s::text[]) as role),
  things as (
    select c.oid, c.oid::regclass::text as name, c.relkind = 'S' as counts from pg_class c
    where c.relnamespace in ('notify'::regnamespace, 'notify_jobs'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  )
select t.name, r.role, case when t.counts then (
    select string_agg(p, ' ' order by p) from unnest('{usage,select,update}'::text[]) p
    where has_sequence_privilege(r.role, t.oid, p))
  else coalesce((
    select string_agg(p, ' ' order by place)
    from unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) with ordinality as g (p, place)
    where has_table_privilege(r.role, t.oid, p)
  ), (
    select 'columns ' || string_agg(a.attname, ' ' order by a.attnum) from pg_attribute a
    where a.attrelid = t.oid and a.attnum > 0
      and has_column_privilege(r.role, t.oid, a.attnum, 'select, insert, update, references')
  )) end as rights
from things t cross join roles r
"""


def test_relations_are_open_to_whom_was_decided(tx: Db) -> None:
    groups = [*(role for role in ROLES if role != "notify_owner"), "public"]
    found: dict[str, dict[str, str]] = {}
    for row in rows(tx, RIGHTS, groups):
        rights = found.setdefault(row["name"], {})
        if row["rights"] is not None:
            rights[row["role"]] = row["rights"]
    assert found == RELATIONS


@pytest.mark.parametrize("schema", ["notify", "notify_jobs"])
def test_functions_are_open_to_whom_was_decided(tx: Db, schema: str) -> None:
    found = rows(
        tx,
        "select p.proname as name, array(select r from unnest(array['app', 'api', 'worker', 'public']) r"
        " where has_function_privilege(case r when 'public' then r else 'notify_' || r end, p.oid, 'execute')) as who"
        " from pg_proc p where p.pronamespace = %s::regnamespace",
        schema,
    )
    expected = FUNCTIONS if schema == "notify" else {row["name"]: {"worker"} for row in found}
    assert {row["name"]: set(row["who"]) for row in found} == expected


def test_schemas_are_open_to_whom_was_decided(tx: Db) -> None:
    found = rows(
        tx,
        "select n.nspname as schema, r as role, p as may from pg_namespace n,"
        " unnest(array['notify_app', 'notify_api', 'notify_worker', 'public']) r, unnest(array['usage', 'create']) p"
        " where n.nspname in ('notify', 'notify_jobs') and has_schema_privilege(r, n.oid, p)",
    )
    assert {(row["schema"], row["role"], row["may"]) for row in found} == {
        *(("notify", role, "usage") for role in logins.GROUPS),
        ("notify_jobs", "notify_worker", "usage"),
    }


def test_no_role_is_powerful_or_logs_in(tx: Db) -> None:
    plain = (
        "select rolname from pg_roles where rolname = any (%s) and not (rolsuper or rolcreaterole or rolcreatedb"
        " or rolreplication or rolbypassrls or rolcanlogin)"
        " and not exists (select from pg_auth_members m where m.member = pg_roles.oid)"
    )
    assert set(column(tx, plain, list(ROLES))) == set(ROLES)


def test_everything_belongs_to_the_owner(tx: Db) -> None:
    others = """
    with ours as (select n.oid, n.nspowner from pg_namespace n where n.nspname in ('notify', 'notify_jobs')),
      owned as (
        select o.oid::regnamespace::text as name, o.nspowner as owner from ours o
        union all select c.oid::regclass::text, c.relowner from pg_class c join ours o on o.oid = c.relnamespace
        union all select p.oid::regprocedure::text, p.proowner from pg_proc p join ours o on o.oid = p.pronamespace
        union all select t.oid::regtype::text, t.typowner from pg_type t join ours o on o.oid = t.typnamespace
      )
    select name from owned where owner <> 'notify_owner'::regrole
    """
    assert column(tx, others) == []


def test_definer_functions_are_the_doors_and_have_their_path_pinned(tx: Db) -> None:
    definers: dict[str, list[str]] = dict(
        tx.execute(
            "select p.proname, array(select s from unnest(p.proconfig) s where s like 'search_path=%')"
            " from pg_proc p where p.pronamespace::regnamespace::text in ('notify', 'notify_jobs') and p.prosecdef"
        ).fetchall()
    )
    jobs_too = {name: ["search_path=notify_jobs, pg_catalog, pg_temp"] for name in ("tidy", "plan_deliveries")}
    doors = {name for name, who in FUNCTIONS.items() if who} - PLAIN_DOORS | {"ring_at_commit"}
    assert definers == {name: ["search_path=pg_catalog, pg_temp"] for name in doors} | jobs_too
