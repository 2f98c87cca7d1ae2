-- What the migration runner itself needs; run only where notify.migration does not exist.
create schema if not exists notify;

comment on schema notify is 'Scheduled notifications: tables, the SQL API, and views to look at';

create table notify.migration (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp()
);

comment on table notify.migration is 'The steps that brought this schema to its version; written by notify migrate alone';
comment on column notify.migration.name is
    'procrastinate/<file>, migrations/<file>, or jobs, functions and views, which are applied again when they change';
comment on column notify.migration.checksum is 'SHA-256 of the text that was applied';
comment on column notify.migration.applied_at is 'When it was applied, by the clock of the database';
