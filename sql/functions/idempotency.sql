create or replace function notify.idempotency_begin(p_owner text, p_key text, p_request_hash bytea) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_hash bytea;
  v_answer jsonb;
begin
  if char_length(p_key) not between 1 and 255 then
    perform notify.refuse('NT001', 'idempotency_key', 'the idempotency key must have 1 to 255 characters');
  end if;
  -- A lock tried first: inserting under the unique key would wait for the other request, not refuse.
  if not pg_try_advisory_xact_lock(hashtextextended(p_owner || chr(31) || p_key, 5477)) then
    perform notify.refuse('NT007', 'idempotency_key', 'a request with this idempotency key is still in flight; repeat it when that one has ended');
  end if;
  select i.request_hash, i.answer into v_hash, v_answer from notify.idempotency i where i.owner = p_owner and i.key = p_key;
  if v_hash <> p_request_hash then
    perform notify.refuse('NT006', 'idempotency_key', 'this idempotency key was used for another request; use a new key for a new request');
  end if;
  return v_answer;
end
$$;
comment on function notify.idempotency_begin(text, text, bytea) is
  'Claims a key until the transaction ends. Returns the first answer if there is one, else null: then the caller does its work and calls idempotency_finish in the same transaction.';

create or replace function notify.idempotency_finish(p_owner text, p_key text, p_request_hash bytea, p_answer jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into notify.idempotency (owner, key, request_hash, answer, created_at)
  values (p_owner, p_key, p_request_hash, p_answer, notify.now())
$$;
comment on function notify.idempotency_finish(text, text, bytea, jsonb) is
  'Keeps the answer of a key that idempotency_begin claimed in this transaction.';
