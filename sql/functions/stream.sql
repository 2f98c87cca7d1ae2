create or replace function notify.epoch(p_generation bigint) returns text
language sql volatile as $$
  select to_hex((select c.system_identifier from pg_control_system() c))
    || '-' || ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0') || '-' || p_generation
$$;
comment on function notify.epoch(bigint) is
  'Names the history that seqs belong to: system identifier, timeline, mailbox generation. A failover or restore changes it, and so does deleting the recipient.';

create or replace function notify.ack(p_recipients text[], p_generations bigint[], p_seqs bigint[])
returns table (recipient text, acked_seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with wanted as (
    select w.recipient collate "C" as recipient, w.generation, max(w.seq) as seq
    from unnest(p_recipients, p_generations, p_seqs) as w (recipient, generation, seq) group by 1, 2
  ),
  free as materialized (
    select m.recipient from notify.mailbox m where m.recipient in (select w.recipient from wanted w)
    order by m.recipient for no key update skip locked
  ),
  moved as (
    update notify.mailbox m set acked_seq = least(w.seq, m.last_seq)
    from wanted w join free f on f.recipient = w.recipient
    where m.recipient = w.recipient and m.generation = w.generation and least(w.seq, m.last_seq) > m.acked_seq
    returning m.recipient, m.acked_seq
  )
  select m.recipient, coalesce(d.acked_seq, m.acked_seq)
  from notify.mailbox m join free f on f.recipient = m.recipient left join moved d on d.recipient = m.recipient;
end
$$;
comment on function notify.ack(text[], bigint[], bigint[]) is
  'Moves acked_seq forward, at most to last_seq, never back. An ack of a recipient who has been deleted and made anew since (another generation) changes nothing. Returns those that were handled; a mailbox locked by another session is left for the next call.';

create or replace function notify.mark_read(p_recipient text, p_ids bigint[], p_up_to_seq bigint, out marked integer, out unread bigint, out last_seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids bigint[];
begin
  perform set_config('synchronous_commit', 'on', true);
  v_ids := array(
    select n.id from notify.notification n
    where n.recipient = p_recipient and n.seq is not null and n.read_at is null
      and (n.id = any (p_ids) or n.seq <= p_up_to_seq)
    order by n.id for no key update
  );
  update notify.notification n set read_at = notify.now() where n.id = any (v_ids);
  marked := cardinality(v_ids);
  if marked > 0 then
    update notify.mailbox m set unread = m.unread - marked where m.recipient = p_recipient;
  end if;
  select m.unread, m.last_seq into unread, last_seq from notify.mailbox m where m.recipient = p_recipient;
end
$$;
comment on function notify.mark_read(text, bigint[], bigint) is
  'Marks sent notifications of one recipient read: those with these ids, and those up to p_up_to_seq. Idempotent. unread is null when there is no such recipient.';
