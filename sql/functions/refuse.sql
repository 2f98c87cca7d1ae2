create or replace function notify.refuse(code text, field text, message text) returns void
language plpgsql as $$
begin
  raise exception using errcode = refuse.code, message = refuse.message, column = coalesce(refuse.field, '');
end
$$;
comment on function notify.refuse(text, text, text) is
  'Raises one of the named errors: NT001 invalid value, NT002 time not in the future, NT003 limit exceeded, NT004 not found, NT005 unknown recipients, NT006 idempotency key used for another request, NT007 a request with this idempotency key is in flight. The field at fault is in the error''s column name.';

create or replace function notify.is_deep(p_value jsonb) returns boolean
language sql immutable strict as $$
  -- Short ones cannot be deep, and are spared the walk.
  select octet_length(p_value::text) > 128
    and p_value @? 'strict $.**{64} ? (@.type() == "object" || @.type() == "array")'
$$;
comment on function notify.is_deep(jsonb) is
  'Whether a JSON value is nested deeper than 64 levels: readers in many languages give up somewhere beyond.';
