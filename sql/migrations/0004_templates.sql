-- Templates: what a schedule request may name instead of giving a title and a message. Every locale is rendered when the
-- request is accepted, and stored with the batch: nothing here is read when something is sent, so that a version may be
-- dropped while batches that were made of it wait for their time.

create table notify.template (
  name text collate "C" not null check (name ~ '^[a-z][a-z0-9_.-]{0,63}$'),
  version integer not null check (version > 0),
  default_locale text not null,
  locales jsonb not null check (jsonb_typeof(locales) = 'object'),
  created_at timestamptz not null,
  primary key (name, version),
  constraint template_has_its_default check (locales ? default_locale),
  -- A mebibyte of sources, in which every character may be escaped.
  constraint template_small check (octet_length(locales::text) <= 6400000)
);
comment on table notify.template is 'Sources of titles and messages, one row a version. Rows are added and never changed.';
comment on column notify.template.name is 'As schedule requests name it.';
comment on column notify.template.version is '1, 2, 3, …; the newest is used unless another is asked for.';
comment on column notify.template.default_locale is 'For recipients of whom no locale is known, or one that is not here. The batch''s own title and message are rendered from it.';
comment on column notify.template.locales is 'By language tag an object with title, message and perhaps html, each the source of a Jinja template.';
comment on column notify.template.created_at is 'When this version was stored.';
