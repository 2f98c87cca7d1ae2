CREATE SCHEMA notify;

COMMENT ON SCHEMA notify IS 'Scheduled notifications: tables, the SQL API, and views to look at';

CREATE TYPE notify.delivery_status AS ENUM (
    'pending',
    'leased',
    'sent',
    'failed',
    'cancelled'
);

COMMENT ON TYPE notify.delivery_status IS 'Life of one notification on one outside channel.';

CREATE TYPE notify.priority AS ENUM (
    'low',
    'normal',
    'high',
    'urgent'
);

COMMENT ON TYPE notify.priority IS 'Order in which due notifications leave; urgent first.';

CREATE TYPE notify.status AS ENUM (
    'pending',
    'sending',
    'sent',
    'cancelled',
    'failed'
);

COMMENT ON TYPE notify.status IS 'Life of a notification: pending, sending (outside channels under way), sent, or cancelled, or failed.';

CREATE FUNCTION notify.accept(p_recipients text[], p_title text, p_message text, p_at timestamp with time zone, p_type text, p_priority text, p_data jsonb, p_channels text[], p_reference text, p_expires_at timestamp with time zone, p_unknown text, p_options jsonb) RETURNS TABLE(recipient text, notification_id bigint, batch_id bigint)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.accept(p_recipients text[], p_title text, p_message text, p_at timestamp with time zone, p_type text, p_priority text, p_data jsonb, p_channels text[], p_reference text, p_expires_at timestamp with time zone, p_unknown text, p_options jsonb) IS 'Checks and stores one schedule request. Called by schedule(), which adds idempotency.';

CREATE FUNCTION notify.ack(p_recipients text[], p_generations bigint[], p_seqs bigint[]) RETURNS TABLE(recipient text, acked_seq bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.ack(p_recipients text[], p_generations bigint[], p_seqs bigint[]) IS 'Moves acked_seq forward, at most to last_seq, never back. An ack of a recipient who has been deleted and made anew since (another generation) changes nothing. Returns those that were handled; a mailbox locked by another session is left for the next call.';

CREATE FUNCTION notify.admit_deliveries(p_channel text, p_max integer) RETURNS integer
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.admit_deliveries(p_channel text, p_max integer) IS 'How many deliveries a channel may be given now: none while it is paused or rests, one where it is to be tried again, and no more than its rate allows.';

CREATE FUNCTION notify.cancel(id bigint, OUT cancelled boolean, OUT status text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.cancel(id bigint, OUT cancelled boolean, OUT status text) IS 'Cancels a pending notification: then it is never sent. cancelled: whether this call did it. status: where it stands now; null: no such notification.';

CREATE FUNCTION notify.cancel_batches(p_batches bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.cancel_batches(p_batches bigint[]) IS 'Cancels all that is pending of these batches; returns how many.';

CREATE FUNCTION notify.cancel_reference(reference text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.cancel_reference(reference text) IS 'Cancels all that is pending under a reference; returns how many. An empty reference is refused.';

CREATE FUNCTION notify.changed_recipients(p_rows jsonb, p_replace boolean) RETURNS TABLE(id text, time_zone text, locale text, addresses jsonb, preferences jsonb)
    LANGUAGE sql ROWS 100
    AS …;

COMMENT ON FUNCTION notify.changed_recipients(p_rows jsonb, p_replace boolean) IS 'Those of these rows that would change a registered recipient, as they would then be. What a recipient has opted out of itself stays, unless the row has an opt_in of it.';

CREATE FUNCTION notify.check_content(p_title text, p_message text, p_type text, p_priority text, p_data jsonb, p_channels text[], p_reference text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS …;

COMMENT ON FUNCTION notify.check_content(p_title text, p_message text, p_type text, p_priority text, p_data jsonb, p_channels text[], p_reference text) IS 'Refuses content that cannot be accepted, naming the field.';

CREATE FUNCTION notify.check_opt_out(p_list jsonb, p_keys text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_opt_out(p_list jsonb, p_keys text[]) IS 'Whether it is a list of channels, types, or both, with no other keys than these; null is none.';

CREATE FUNCTION notify.check_options(p_options jsonb, p_at timestamp with time zone, p_expires_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_options(p_options jsonb, p_at timestamp with time zone, p_expires_at timestamp with time zone) IS 'Refuses options of a schedule request that cannot be accepted, naming the field.';

CREATE FUNCTION notify.check_preferences(p_preferences jsonb, p_whose text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_preferences(p_preferences jsonb, p_whose text) IS 'Refuses opt_out, opt_in and quiet_hours of preferences that cannot be understood; all else in them is the application''s own.';

CREATE FUNCTION notify.check_recipients(p_rows jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    AS …;

COMMENT ON FUNCTION notify.check_recipients(p_rows jsonb) IS 'Refuses recipients that cannot be accepted, naming the field.';

CREATE FUNCTION notify.check_retry(p_retry jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_retry(p_retry jsonb) IS 'Refuses what is no part of a retry policy. Null is none.';

CREATE FUNCTION notify.check_size(p_id text, p_addresses jsonb, p_preferences jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_size(p_id text, p_addresses jsonb, p_preferences jsonb) IS 'Refuses addresses and preferences that are too large together, as they are, or as they would be when merged.';

CREATE FUNCTION notify.check_template(p_name text, p_default_locale text, p_locales jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_template(p_name text, p_default_locale text, p_locales jsonb) IS 'Refuses a template that cannot be accepted, naming the field.';

CREATE FUNCTION notify.check_template_texts(p_tag text, p_texts jsonb) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_template_texts(p_tag text, p_texts jsonb) IS 'Refuses the sources of one locale that cannot be accepted, naming the field. Returns how many bytes they have. Whether they are good templates is not known in the database.';

CREATE FUNCTION notify.check_time(p_at timestamp with time zone, p_expires_at timestamp with time zone, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.check_time(p_at timestamp with time zone, p_expires_at timestamp with time zone, p_now timestamp with time zone) IS 'Refuses times that cannot be accepted. A null p_at means now.';

CREATE FUNCTION notify.close_deliveries(p_ids bigint[], p_status notify.delivery_status, p_code text, p_error text) RETURNS void
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.close_deliveries(p_ids bigint[], p_status notify.delivery_status, p_code text, p_error text) IS 'Ends deliveries that are not even tried, as failed or cancelled, and what hangs on them; not those whose notification is locked.';

CREATE FUNCTION notify.conclude(p_notifications bigint[]) RETURNS void
    LANGUAGE sql
    AS …;

COMMENT ON FUNCTION notify.conclude(p_notifications bigint[]) IS 'Ends those of these notifications, locked by the caller, of which no delivery is left that got through or may: failed, or cancelled where it expired or was not wanted.';

CREATE FUNCTION notify.delete_cancelled(p_older_than interval, p_max integer, OUT deleted integer, OUT batches integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.delete_cancelled(p_older_than interval, p_max integer, OUT deleted integer, OUT batches integer) IS 'Deletes up to p_max notifications that were cancelled longer ago than p_older_than, and the batches that this empties.';

CREATE FUNCTION notify.delete_empty_batches(p_batches bigint[]) RETURNS integer
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.delete_empty_batches(p_batches bigint[]) IS 'Deletes those of these batches that have no notification left.';

CREATE FUNCTION notify.delete_old(p_older_than interval, p_max integer, OUT deleted integer, OUT batches integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.delete_old(p_older_than interval, p_max integer, OUT deleted integer, OUT batches integer) IS 'Retention: deletes up to p_max sent and as many failed notifications older than p_older_than. Streams keep their floor, unread its count. What has a delivery that is not done stays; what another session has locked is left for the next time.';

CREATE FUNCTION notify.delete_recipient(id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.delete_recipient(id text) IS 'Deletes a recipient with the whole stream and all that was pending. Returns whether there was one. While another transaction holds any of it, tries again as long as lock_timeout says, then raises lock_not_available (55P03).';

CREATE FUNCTION notify.delete_template(p_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.delete_template(p_name text) IS 'Deletes all versions of a template; batches keep what was rendered for them. Returns whether there was any.';

CREATE FUNCTION notify.distinct_ids(p_ids text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.distinct_ids(p_ids text[]) IS 'The ids in their order; doubles are one, at their first place.';

CREATE FUNCTION notify.drain(p_max integer DEFAULT 1000, p_due_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_avoid text[] DEFAULT '{}'::text[], p_quarantine bigint[] DEFAULT '{}'::bigint[], p_only bigint[] DEFAULT NULL::bigint[], p_wait boolean DEFAULT false, p_signal boolean DEFAULT true, p_after bigint[] DEFAULT '{}'::bigint[], OUT picked integer, OUT sent integer, OUT sending integer, OUT expired integer, OUT busy text[], OUT crowded boolean, OUT left_due boolean, OUT due_from timestamp with time zone, OUT looked_at timestamp with time zone, OUT next_due_in double precision, OUT after bigint[], OUT deliveries integer, OUT delivery_due_in double precision) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.drain(p_max integer, p_due_from timestamp with time zone, p_avoid text[], p_quarantine bigint[], p_only bigint[], p_wait boolean, p_signal boolean, p_after bigint[], OUT picked integer, OUT sent integer, OUT sending integer, OUT expired integer, OUT busy text[], OUT crowded boolean, OUT left_due boolean, OUT due_from timestamp with time zone, OUT looked_at timestamp with time zone, OUT next_due_in double precision, OUT after bigint[], OUT deliveries integer, OUT delivery_due_in double precision) IS 'The one way out: takes a chunk of due notifications and sends them. Autocommitted by the ticker, a chunk a call. p_due_from: low-water mark; null: from the beginning. p_avoid: recipients found locked. p_quarantine: ids to leave alone. p_only: just these ids. p_wait: wait for locked mailboxes. p_after: the ids that the chunk before returned so, of each priority the last one that filled a chunk: of that priority nothing is looked for before it, so a pass does not walk over what it has sent and a long snapshot keeps. Returns what was picked, sent, given to outside channels and expired; busy: recipients whose mailbox was locked; crowded: two others are draining, or three where p_due_from is null; left_due: nothing was picked although something is due, as it is locked or was to be left alone; due_from: the mark that was used; looked_at: when; next_due_in: seconds to the next due time, when nothing was picked; after: p_after for the next chunk, null where this one was not filled, so that the next looks from the beginning again; deliveries: how many were added for outside channels; delivery_due_in: seconds to the next one that a channel may send, when nothing was picked.';

CREATE FUNCTION notify.enable_address(p_recipient text, p_channel text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.enable_address(p_recipient text, p_channel text) IS 'Forgets that a recipient''s address failed or was disabled. Returns whether there was anything to forget.';

CREATE FUNCTION notify.epoch(p_generation bigint) RETURNS text
    LANGUAGE sql
    AS …;

COMMENT ON FUNCTION notify.epoch(p_generation bigint) IS 'Names the history that seqs belong to: system identifier, timeline, mailbox generation. A failover or restore changes it, and so does deleting the recipient.';

CREATE TABLE notify.template (
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    default_locale text NOT NULL,
    locales jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT template_has_its_default CHECK ((locales ? default_locale)),
    CONSTRAINT template_locales_check CHECK ((jsonb_typeof(locales) = 'object'::text)),
    CONSTRAINT template_name_check CHECK ((name ~ '^[a-z][a-z0-9_.-]{0,63}$'::text)),
    CONSTRAINT template_small CHECK ((octet_length((locales)::text) <= 6400000)),
    CONSTRAINT template_version_check CHECK ((version > 0))
);

COMMENT ON TABLE notify.template IS 'Sources of titles and messages, one row a version. Rows are added and never changed.';

COMMENT ON COLUMN notify.template.name IS 'As schedule requests name it.';

COMMENT ON COLUMN notify.template.version IS '1, 2, 3, …; the newest is used unless another is asked for.';

COMMENT ON COLUMN notify.template.default_locale IS 'For recipients of whom no locale is known, or one that is not here. The batch''s own title and message are rendered from it.';

COMMENT ON COLUMN notify.template.locales IS 'By language tag an object with title, message and perhaps html, each the source of a Jinja template.';

COMMENT ON COLUMN notify.template.created_at IS 'When this version was stored.';

CREATE FUNCTION notify.find_template(p_name text, p_version integer DEFAULT NULL::integer) RETURNS SETOF notify.template
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.find_template(p_name text, p_version integer) IS 'A version of a template; null: the newest. No row where there is none.';

CREATE FUNCTION notify.hold_mailboxes(p_ids text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.hold_mailboxes(p_ids text[]) IS 'Keeps these recipients from being deleted until the transaction ends. Returns how many of them there are.';

CREATE FUNCTION notify.hold_recipient(p_id text) RETURNS boolean
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.hold_recipient(p_id text) IS 'Locks a recipient with mailbox and all notifications, or, where another session holds any of them, nothing: false. Who asks may thus try again without keeping anybody waiting meanwhile.';

CREATE FUNCTION notify.hold_template(p_name text) RETURNS void
    LANGUAGE sql
    AS …;

COMMENT ON FUNCTION notify.hold_template(p_name text) IS 'Lets one transaction at a time change the versions of a template; others wait.';

CREATE FUNCTION notify.idempotency_begin(p_owner text, p_key text, p_request_hash bytea) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.idempotency_begin(p_owner text, p_key text, p_request_hash bytea) IS 'Claims a key until the transaction ends. Returns the first answer if there is one, else null: then the caller does its work and calls idempotency_finish in the same transaction.';

CREATE FUNCTION notify.idempotency_finish(p_owner text, p_key text, p_request_hash bytea, p_answer jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.idempotency_finish(p_owner text, p_key text, p_request_hash bytea, p_answer jsonb) IS 'Keeps the answer of a key that idempotency_begin claimed in this transaction.';

CREATE FUNCTION notify.installation() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.installation() IS 'What makes the ids that providers see unique in the world.';

CREATE FUNCTION notify.is_crowded(p_places integer) RETURNS boolean
    LANGUAGE sql STABLE
    AS …;

COMMENT ON FUNCTION notify.is_crowded(p_places integer) IS 'Whether the first p_places of the drains'' places are taken by sessions that may drain.';

CREATE FUNCTION notify.is_deep(p_value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT
    AS …;

COMMENT ON FUNCTION notify.is_deep(p_value jsonb) IS 'Whether a JSON value is nested deeper than 64 levels: readers in many languages give up somewhere beyond.';

CREATE FUNCTION notify.is_opted_out(p_preferences jsonb, p_channel text, p_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.is_opted_out(p_preferences jsonb, p_channel text, p_type text) IS 'Whether preferences have an opt_out for this channel, this type, or both together.';

CREATE TABLE notify.batch (
    id bigint NOT NULL,
    type text NOT NULL,
    priority notify.priority NOT NULL,
    title text NOT NULL,
    message text NOT NULL,
    data jsonb NOT NULL,
    channels text[] NOT NULL,
    reference text,
    scheduled_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT batch_channels_check CHECK (((cardinality(channels) >= 1) AND (cardinality(channels) <= 16))),
    CONSTRAINT batch_data_check CHECK ((jsonb_typeof(data) = 'object'::text)),
    CONSTRAINT batch_expires_at_check CHECK (isfinite(expires_at)),
    CONSTRAINT batch_expires_later CHECK ((expires_at > scheduled_at)),
    CONSTRAINT batch_message_check CHECK (((octet_length(message) >= 1) AND (octet_length(message) <= 16384))),
    CONSTRAINT batch_reference_check CHECK (((char_length(reference) >= 1) AND (char_length(reference) <= 200))),
    CONSTRAINT batch_scheduled_at_check CHECK (isfinite(scheduled_at)),
    CONSTRAINT batch_title_check CHECK (((char_length(title) >= 1) AND (char_length(title) <= 200))),
    CONSTRAINT batch_type_check CHECK (((char_length(type) >= 1) AND (char_length(type) <= 100)))
);

COMMENT ON TABLE notify.batch IS 'One schedule request: its content, stored once for all its recipients.';

COMMENT ON COLUMN notify.batch.id IS 'Id that the API calls batch_id.';

COMMENT ON COLUMN notify.batch.type IS 'Kind of notification, as the application names it.';

COMMENT ON COLUMN notify.batch.priority IS 'Of all its notifications.';

COMMENT ON COLUMN notify.batch.title IS 'Up to 200 characters.';

COMMENT ON COLUMN notify.batch.message IS 'Up to 16 KiB.';

COMMENT ON COLUMN notify.batch.data IS 'The application''s own JSON object, up to 16 KiB.';

COMMENT ON COLUMN notify.batch.channels IS 'Where its notifications go; each name is one of notify.channel.';

COMMENT ON COLUMN notify.batch.reference IS 'The caller''s own key, as invoice:42; cancel_reference() takes it.';

COMMENT ON COLUMN notify.batch.scheduled_at IS 'When it was to be sent, as first asked for.';

COMMENT ON COLUMN notify.batch.expires_at IS 'What is not sent by then is cancelled instead.';

COMMENT ON COLUMN notify.batch.created_at IS 'When it was accepted.';

CREATE TABLE notify.delivery (
    id bigint NOT NULL,
    notification_id bigint NOT NULL,
    channel text NOT NULL,
    status notify.delivery_status DEFAULT 'pending'::notify.delivery_status NOT NULL,
    due_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    lease_token uuid,
    leased_until timestamp with time zone,
    sent_at timestamp with time zone,
    failed_at timestamp with time zone,
    error text,
    priority notify.priority DEFAULT 'normal'::notify.priority NOT NULL,
    since timestamp with time zone,
    retries_from integer DEFAULT 0 NOT NULL,
    held text,
    code text,
    CONSTRAINT dead_or_failed_at_null CHECK (((status = 'failed'::notify.delivery_status) = (failed_at IS NOT NULL))),
    CONSTRAINT delivered_or_sent_at_null CHECK (((status = 'sent'::notify.delivery_status) = (sent_at IS NOT NULL))),
    CONSTRAINT delivery_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT delivery_channel_check CHECK ((channel <> 'inbox'::text)),
    CONSTRAINT leased_or_token_null CHECK (((status = 'leased'::notify.delivery_status) = (lease_token IS NOT NULL))),
    CONSTRAINT leased_or_until_null CHECK (((status = 'leased'::notify.delivery_status) = (leased_until IS NOT NULL)))
);

COMMENT ON TABLE notify.delivery IS 'One notification on one outside channel. The inbox needs none: its delivery is the commit.';

COMMENT ON COLUMN notify.delivery.id IS 'Stable id that the provider sees in every attempt.';

COMMENT ON COLUMN notify.delivery.notification_id IS 'What is delivered.';

COMMENT ON COLUMN notify.delivery.channel IS 'Where to; never inbox.';

COMMENT ON COLUMN notify.delivery.status IS 'pending, leased (somebody is sending it), sent, failed or cancelled.';

COMMENT ON COLUMN notify.delivery.due_at IS 'When the next attempt is due.';

COMMENT ON COLUMN notify.delivery.attempts IS 'How many attempts were recorded.';

COMMENT ON COLUMN notify.delivery.lease_token IS 'Whose lease it is; an attempt is recorded only where its token still holds.';

COMMENT ON COLUMN notify.delivery.leased_until IS 'From then on the lease may be taken over.';

COMMENT ON COLUMN notify.delivery.sent_at IS 'When the provider accepted it.';

COMMENT ON COLUMN notify.delivery.failed_at IS 'When it ran out of attempts.';

COMMENT ON COLUMN notify.delivery.error IS 'What the last failed attempt said.';

COMMENT ON COLUMN notify.delivery.priority IS 'The notification''s, copied here because workers pick by it.';

COMMENT ON COLUMN notify.delivery.since IS 'When it was first tried, since it was made or last replayed: its maximum age counts from then.';

COMMENT ON COLUMN notify.delivery.retries_from IS 'Attempts that do not count: those before it was last replayed, and those that met a channel that was down.';

COMMENT ON COLUMN notify.delivery.held IS 'Its type, while that is paused; null: it goes when it is due.';

COMMENT ON COLUMN notify.delivery.code IS 'What the last failure was, as smtp-550, to count by.';

CREATE TABLE notify.notification (
    id bigint NOT NULL,
    batch_id bigint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    seq bigint,
    sent_at timestamp with time zone,
    read_at timestamp with time zone,
    cancelled_at timestamp with time zone,
    failed_at timestamp with time zone,
    status notify.status DEFAULT 'pending'::notify.status NOT NULL,
    priority notify.priority NOT NULL,
    recipient text NOT NULL COLLATE pg_catalog."C",
    cancel_reason text,
    failure_reason text,
    CONSTRAINT cancelled_or_cancelled_at_null CHECK (((status = 'cancelled'::notify.status) = (cancelled_at IS NOT NULL))),
    CONSTRAINT cancelled_or_reason_null CHECK (((status = 'cancelled'::notify.status) = (cancel_reason IS NOT NULL))),
    CONSTRAINT failed_or_failed_at_null CHECK (((status = 'failed'::notify.status) = (failed_at IS NOT NULL))),
    CONSTRAINT failed_or_reason_null CHECK (((status = 'failed'::notify.status) = (failure_reason IS NOT NULL))),
    CONSTRAINT never_early CHECK ((sent_at >= due_at)),
    CONSTRAINT notification_cancel_reason_check CHECK ((cancel_reason = ANY (ARRAY['requested'::text, 'expired'::text, 'preferences'::text]))),
    CONSTRAINT notification_due_at_check CHECK (isfinite(due_at)),
    CONSTRAINT notification_seq_check CHECK ((seq > 0)),
    CONSTRAINT read_only_in_stream CHECK (((read_at IS NULL) OR (seq IS NOT NULL))),
    CONSTRAINT sent_or_sent_at_null CHECK (((status = 'sent'::notify.status) = (sent_at IS NOT NULL))),
    CONSTRAINT seq_only_when_sent CHECK (((seq IS NULL) OR (status = 'sent'::notify.status)))
);

COMMENT ON TABLE notify.notification IS 'One recipient''s copy of a batch: when it is due, and what became of it.';

COMMENT ON COLUMN notify.notification.id IS 'Id that the API returns.';

COMMENT ON COLUMN notify.notification.batch_id IS 'Its content.';

COMMENT ON COLUMN notify.notification.due_at IS 'When it is to be sent; rescheduling and retrying move it.';

COMMENT ON COLUMN notify.notification.seq IS 'Its place in the recipient''s stream, without gaps; null until sent, or when the inbox is not among its channels.';

COMMENT ON COLUMN notify.notification.sent_at IS 'When the drain sent it, by the database''s clock.';

COMMENT ON COLUMN notify.notification.read_at IS 'When the recipient marked it read.';

COMMENT ON COLUMN notify.notification.cancelled_at IS 'When it was cancelled.';

COMMENT ON COLUMN notify.notification.failed_at IS 'When it was given up or parked as faulty.';

COMMENT ON COLUMN notify.notification.status IS 'pending, sending, sent, cancelled or failed.';

COMMENT ON COLUMN notify.notification.priority IS 'The batch''s, copied here because the drain picks by it.';

COMMENT ON COLUMN notify.notification.recipient IS 'Who receives it.';

COMMENT ON COLUMN notify.notification.cancel_reason IS 'requested, expired, or preferences: its recipient wants it on none of its channels.';

COMMENT ON COLUMN notify.notification.failure_reason IS 'Why it failed.';

CREATE TABLE notify.recipient (
    id text NOT NULL COLLATE pg_catalog."C",
    time_zone text,
    locale text,
    addresses jsonb DEFAULT '{}'::jsonb NOT NULL,
    preferences jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT recipient_addresses_check CHECK ((jsonb_typeof(addresses) = 'object'::text)),
    CONSTRAINT recipient_id_printable CHECK ((((octet_length(id) >= 1) AND (octet_length(id) <= 128)) AND (id !~ '[\u0001-\u001f\u007f-\u009f]'::text))),
    CONSTRAINT recipient_locale_check CHECK ((locale <> ''::text)),
    CONSTRAINT recipient_preferences_check CHECK ((jsonb_typeof(preferences) = 'object'::text)),
    CONSTRAINT recipient_small CHECK (((octet_length((addresses)::text) + octet_length((preferences)::text)) <= 16384)),
    CONSTRAINT recipient_time_zone_check CHECK ((time_zone <> ''::text))
);

COMMENT ON TABLE notify.recipient IS 'Who receives.';

COMMENT ON COLUMN notify.recipient.id IS 'The application''s own id: 1 to 128 bytes, no control characters.';

COMMENT ON COLUMN notify.recipient.time_zone IS 'IANA name; null: UTC.';

COMMENT ON COLUMN notify.recipient.locale IS 'BCP 47 tag; null: none known.';

COMMENT ON COLUMN notify.recipient.addresses IS 'Addresses by channel, as {"email": "ada@example.org"}.';

COMMENT ON COLUMN notify.recipient.preferences IS 'What the recipient wants, as the application defines it.';

COMMENT ON COLUMN notify.recipient.created_at IS 'When it was first registered.';

COMMENT ON COLUMN notify.recipient.updated_at IS 'When something of it last changed.';

CREATE FUNCTION notify.judge_deliveries(p_channel text, p_ids bigint[], p_now timestamp with time zone) RETURNS TABLE(place bigint, id bigint, verdict text, until timestamp with time zone, delivery notify.delivery, notification notify.notification, batch notify.batch, recipient notify.recipient, required boolean, retry jsonb)
    LANGUAGE sql STABLE
    AS …;

COMMENT ON FUNCTION notify.judge_deliveries(p_channel text, p_ids bigint[], p_now timestamp with time zone) IS 'What is to be done with these deliveries now: send it (now), put it off until a time (later), hold it (paused), or end it: void (its notification was cancelled, or goes through the drain again), expired, unwanted, unreachable, disabled; and all that is needed to send it.';

CREATE FUNCTION notify.lease_deliveries(p_channel text, p_max integer, p_seconds double precision) RETURNS TABLE(id bigint, token uuid, attempts integer, tries integer, age double precision, notification_id bigint, batch_id bigint, recipient text, address jsonb, address_hash text, locale text, time_zone text, type text, priority text, title text, message text, html text, data jsonb, reference text, scheduled_at timestamp with time zone, required boolean, retry jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.lease_deliveries(p_channel text, p_max integer, p_seconds double precision) IS 'Leases up to p_max due deliveries of a channel for so many seconds, and returns what is to be sent: attempts before this one, tries of them since the last replay, seconds since the first try, content in the recipient''s locale, and the retry policy of channel, type and batch together. Puts off what is in quiet hours or whose address rests, holds what is of a paused type, and ends what has expired, is not wanted or cannot be reached.';

CREATE FUNCTION notify.list_templates(p_after text, p_limit bigint) RETURNS TABLE(name text, version integer, default_locale text, locales text[], created_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.list_templates(p_after text, p_limit bigint) IS 'The newest version of each template with the tags of its locales, by name, beyond the one given.';

CREATE FUNCTION notify.listen() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.listen() IS 'Lets this session hear the drain''s signals. Returns the cluster''s part of every epoch.';

CREATE FUNCTION notify.localized(p_contents jsonb, p_locale text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.localized(p_contents jsonb, p_locale text) IS 'The title, message and html for a locale: its own, else that of its shorter tags (de-AT: de), else the default''s.';

CREATE FUNCTION notify.mark_read(p_recipient text, p_ids bigint[], p_up_to_seq bigint, OUT marked integer, OUT unread bigint, OUT last_seq bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.mark_read(p_recipient text, p_ids bigint[], p_up_to_seq bigint, OUT marked integer, OUT unread bigint, OUT last_seq bigint) IS 'Marks sent notifications of one recipient read: those with these ids, and those up to p_up_to_seq. Idempotent. unread is null when there is no such recipient.';

CREATE FUNCTION notify.next_deliveries(p_due_from timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS TABLE(channel text, due_in double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION notify.next_deliveries(p_due_from timestamp with time zone) IS 'In how many seconds each channel may next have something to send, negative if it has now; channels that are paused or have nothing due from p_due_from on are left out. Under a long snapshot the entries of what was sent stay in the index, so a ticker asks from its low-water mark on.';

CREATE FUNCTION notify.next_due(p_from timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION notify.next_due(p_from timestamp with time zone) IS 'Due time of the earliest pending notification due at p_from or later; null: none.';

CREATE FUNCTION notify.note_endpoints(p_channel text, p_recipients text[], p_hashes text[], p_kinds text[], p_rests double precision[], p_disable boolean[], p_reasons text[], p_most_days double precision) RETURNS text[]
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.note_endpoints(p_channel text, p_recipients text[], p_hashes text[], p_kinds text[], p_rests double precision[], p_disable boolean[], p_reasons text[], p_most_days double precision) IS 'Keeps which addresses fail: one that does rests for as long as it asked, or for 2, 4, … 60 seconds; one that is to be disabled, or of which nothing got through for p_most_days, is. Returns whose were disabled now.';

CREATE FUNCTION notify.now() RETURNS timestamp with time zone
    LANGUAGE sql PARALLEL SAFE
    AS …;

COMMENT ON FUNCTION notify.now() IS 'The one clock. Real time, moved by the setting notify.clock_offset (an interval, as ''2 hours''), which tests set for a session or a database; that of a login which is not in notify_owner does not count.';

CREATE FUNCTION notify.park(id bigint, reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.park(id bigint, reason text) IS 'Puts a notification that the drain cannot send aside as failed, so that it stops nobody else.';

CREATE FUNCTION notify.pick(p_max integer, p_due_from timestamp with time zone, p_avoid text[], p_quarantine bigint[], p_only bigint[]) RETURNS bigint[]
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.pick(p_max integer, p_due_from timestamp with time zone, p_avoid text[], p_quarantine bigint[], p_only bigint[]) IS 'The ids that pick_chunk() picks from p_due_from.';

CREATE FUNCTION notify.pick_chunk(p_max integer, p_due_from timestamp with time zone, p_avoid text[], p_quarantine bigint[], p_only bigint[], p_after bigint[], OUT ids bigint[], OUT after bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION notify.pick_chunk(p_max integer, p_due_from timestamp with time zone, p_avoid text[], p_quarantine bigint[], p_only bigint[], p_after bigint[], OUT ids bigint[], OUT after bigint[]) IS 'Locks up to p_max due rows nobody else has locked, urgent first and with no more than a tenth of p_max beside them. ids: theirs. after: where the next chunk may go on, null if this one was not filled; see drain(). With p_only: those of them that are due.';

CREATE FUNCTION notify.plan() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.plan() IS 'Sets the alarm clocks of the coming minute: one for each second in which something is due. Returns how many seconds that were.';

CREATE FUNCTION notify.plan_deliveries() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'notify_jobs', 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.plan_deliveries() IS 'Sets the second alarm clock of deliveries: a deliver job for the instant of the coming minute at which each channel has its next. Returns how many it set.';

CREATE FUNCTION notify.put_away(p_channel text, p_ids bigint[], p_now timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS …;

COMMENT ON FUNCTION notify.put_away(p_channel text, p_ids bigint[], p_now timestamp with time zone) IS 'Of these deliveries, which the caller has locked, puts off, holds or ends those that are not to be sent now. Returns how many of them are due no more.';

CREATE FUNCTION notify.put_template(p_name text, p_default_locale text, p_locales jsonb) RETURNS TABLE(version integer, created boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.put_template(p_name text, p_default_locale text, p_locales jsonb) IS 'Stores a template as its next version, unless it is what the newest one is already. The newest hundred are kept. Returns the version, and whether this call made it.';

CREATE FUNCTION notify.quiet_until(p_preferences jsonb, p_time_zone text, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    AS …;

COMMENT ON FUNCTION notify.quiet_until(p_preferences jsonb, p_time_zone text, p_now timestamp with time zone) IS 'When the recipient''s quiet hours end, if it is in them at this instant, in its time zone; else null.';

CREATE FUNCTION notify.record_attempts(p_channel text, p_ids bigint[], p_tokens uuid[], p_kinds text[], p_codes text[], p_details text[], p_seconds double precision[], p_delays double precision[], p_rests double precision[], p_disable boolean[], p_outages boolean[], p_hashes text[], p_most_days double precision, p_threshold integer, p_breaker_seconds double precision, OUT recorded integer, OUT disabled text[], OUT locked bigint[], OUT stopped boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.record_attempts(p_channel text, p_ids bigint[], p_tokens uuid[], p_kinds text[], p_codes text[], p_details text[], p_seconds double precision[], p_delays double precision[], p_rests double precision[], p_disable boolean[], p_outages boolean[], p_hashes text[], p_most_days double precision, p_threshold integer, p_breaker_seconds double precision, OUT recorded integer, OUT disabled text[], OUT locked bigint[], OUT stopped boolean) IS 'Records attempts where their lease still holds, and what follows: sent, due again after its delay, or failed; the notification''s status; which addresses fail; and whether the channel itself does. p_seconds: how long each took. p_outages: null in it is an attempt that nobody answered; none at all: all were answered. p_hashes: of the address that was tried, null where none was. Returns how many were recorded, whose addresses were disabled, which could not be recorded now as their notification is locked, and whether the channel is paused or rests (stopped).';

CREATE FUNCTION notify.refuse(code text, field text, message text) RETURNS void
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.refuse(code text, field text, message text) IS 'Raises one of the named errors: NT001 invalid value, NT002 time not in the future, NT003 limit exceeded, NT004 not found, NT005 unknown recipients, NT006 idempotency key used for another request, NT007 a request with this idempotency key is in flight. The field at fault is in the error''s column name.';

CREATE FUNCTION notify.register_channels(p_channels jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.register_channels(p_channels jsonb) IS 'Makes the channels known that a worker serves, an array of {name, description}; until then schedule() refuses them.';

CREATE FUNCTION notify.release_deliveries(p_ids bigint[], p_tokens uuid[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.release_deliveries(p_ids bigint[], p_tokens uuid[]) IS 'Gives back deliveries that were leased and not tried; they are due now.';

CREATE FUNCTION notify.release_held(p_max integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.release_held(p_max integer) IS 'Lets up to p_max deliveries go that are held although their type is paused no more.';

CREATE FUNCTION notify.replay_deliveries(p_ids bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.replay_deliveries(p_ids bigint[]) IS 'Makes those of these deliveries that failed due again, with all their retries before them, unless their notification was cancelled or is pending again; returns how many.';

CREATE FUNCTION notify.replay_failed(p_channel text, p_code text, p_batch bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_max integer, OUT replayed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.replay_failed(p_channel text, p_code text, p_batch bigint, p_from timestamp with time zone, p_to timestamp with time zone, p_max integer, OUT replayed integer, OUT more boolean) IS 'Replays up to p_max failed deliveries of a channel, an error code, a batch, and those that failed from p_from until p_to; null: any. more: there may be others.';

CREATE FUNCTION notify.reschedule(id bigint, scheduled_at timestamp with time zone, OUT rescheduled boolean, OUT status text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.reschedule(id bigint, scheduled_at timestamp with time zone, OUT rescheduled boolean, OUT status text) IS 'Moves a pending notification to another time. rescheduled: whether it did. status: where it stands now; null: no such notification.';

CREATE FUNCTION notify.rescue_deliveries(p_max integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.rescue_deliveries(p_max integer) IS 'Makes up to p_max deliveries whose lease has run out pending again, with an attempt of unknown end. Their old worker''s token no longer holds.';

CREATE FUNCTION notify.rest_channel(p_channel text, p_outages integer, p_answers integer, p_threshold integer, p_seconds double precision) RETURNS void
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.rest_channel(p_channel text, p_outages integer, p_answers integer, p_threshold integer, p_seconds double precision) IS 'The circuit breaker: p_threshold outages in a row put a channel to rest for p_seconds, twice as long each time that trying it again fails, 5 minutes at most; any answer of its provider ends that.';

CREATE FUNCTION notify.retry(id bigint, delay interval DEFAULT '00:10:00'::interval, OUT retried boolean, OUT status text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.retry(id bigint, delay interval, OUT retried boolean, OUT status text) IS 'Makes a failed or overdue notification pending again, due after the delay. retried: whether it did. status: where it stands now; null: no such notification.';

CREATE FUNCTION notify.ring(p_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.ring(p_id bigint) IS 'What ring_at_commit does for a notification that was moved: rings if it is still pending.';

CREATE FUNCTION notify.ring_at_commit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.ring_at_commit() IS 'Rings the doorbell for what this transaction made due.';

CREATE FUNCTION notify.ring_for(p_due_at timestamp with time zone, p_soon interval DEFAULT '00:00:01'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'notify_jobs', 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.ring_for(p_due_at timestamp with time zone, p_soon interval) IS 'Sets the alarm clock for a due time: a wakeup row and a dispatch job, unless an unanswered one stands already or the time lies beyond the planning window of a minute. What is due within p_soon wakes the ticker at once, which then sleeps to the instant; anything later gets the end of its second.';

CREATE FUNCTION notify.schedule(recipients text[], title text, message text, scheduled_at timestamp with time zone DEFAULT NULL::timestamp with time zone, type text DEFAULT 'system'::text, priority text DEFAULT 'normal'::text, data jsonb DEFAULT '{}'::jsonb, channels text[] DEFAULT '{inbox}'::text[], idempotency_key text DEFAULT NULL::text, reference text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, unknown_recipients text DEFAULT 'skip'::text, options jsonb DEFAULT NULL::jsonb) RETURNS TABLE(recipient text, notification_id bigint, batch_id bigint, replayed boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.schedule(recipients text[], title text, message text, scheduled_at timestamp with time zone, type text, priority text, data jsonb, channels text[], idempotency_key text, reference text, expires_at timestamp with time zone, unknown_recipients text, options jsonb) IS 'Schedules one notification for each recipient, in the caller''s transaction. scheduled_at: null means now. Returns a row a recipient, in their order; notification_id is null where the recipient is unknown and was skipped. options: retry (the policy of its deliveries), spread_over (minutes over which its notifications are spread). replayed: the answer of an earlier call under the same idempotency_key.';

CREATE FUNCTION notify.schedule_status(p_id bigint) RETURNS TABLE(id bigint, title text, scheduled_at timestamp with time zone, scheduled_status text, is_sent boolean, sent_at timestamp with time zone, created_at timestamp with time zone, cancel_reason text, failure_reason text, deliveries jsonb[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.schedule_status(p_id bigint) IS 'Where one notification stands; no row: no such notification. Neither who receives it nor what it says beyond its title.';

CREATE FUNCTION notify.schedule_together(p_requests jsonb) RETURNS TABLE(place integer, recipient text, notification_id bigint, batch_id bigint, due_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.schedule_together(p_requests jsonb) IS 'Several schedule requests in one transaction: an array of objects with the parameters of schedule() (data: its JSON as a text; past_is_now: a past time means now), and of idempotency_begin() where there is a key. Returns the rows of those that were stored, with their place in the array from 1 on, and when they are due. All others changed nothing and are to be repeated alone: those that were refused, have an answer already, or name a recipient who is unknown or locked.';

CREATE FUNCTION notify.send(id bigint, wait boolean DEFAULT true, OUT sent boolean, OUT status text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.send(id bigint, wait boolean, OUT sent boolean, OUT status text) IS 'Sends a pending notification now. wait: it is sent when this returns, and the transaction should end at once, as it holds the mailbox. Without wait it is only made due, and goes out after the commit. sent: whether this call did it. status: where it stands now; null: no such notification.';

CREATE FUNCTION notify.send_signals(p_lines text[], p_sent_at timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    AS …;

COMMENT ON FUNCTION notify.send_signals(p_lines text[], p_sent_at timestamp with time zone) IS 'Packs signal lines by bytes and NOTIFYs them. Payload: a line "sent TAB sent_at in microseconds since 1970", then a line a notification: recipient, generation, seq, notification id, batch id, microseconds late, separated by TAB.';

CREATE FUNCTION notify.set_channel(p_name text, p_changes jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.set_channel(p_name text, p_changes jsonb) IS 'Changes what is given of {paused, rate, retry} of a channel; null takes rate and retry back. Returns whether there is such a channel. Waits for nothing but its row.';

CREATE FUNCTION notify.set_type(p_name text, p_changes jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.set_type(p_name text, p_changes jsonb) IS 'Changes what is given of {required, paused, retry} of a type; null takes retry back.';

CREATE FUNCTION notify.settle(p_ids bigint[], p_recipients text[], p_places tid[], p_generations bigint[], p_last_seqs bigint[], p_signal boolean, OUT sent integer, OUT sending integer, OUT expired integer, OUT deliveries integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS …;

COMMENT ON FUNCTION notify.settle(p_ids bigint[], p_recipients text[], p_places tid[], p_generations bigint[], p_last_seqs bigint[], p_signal boolean, OUT sent integer, OUT sending integer, OUT expired integer, OUT deliveries integer) IS 'Turns locked due rows of locked mailboxes (as take_mailboxes() returns them) into sent ones: numbers them in their recipients'' streams, counts them, adds deliveries for outside channels, cancels what has expired, and signals.';

CREATE FUNCTION notify.store(p_batches notify.batch[], p_of integer[], p_recipients text[], p_options jsonb DEFAULT NULL::jsonb) RETURNS TABLE(of integer, recipient text, notification_id bigint, batch_id bigint, due_at timestamp with time zone)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS …;

COMMENT ON FUNCTION notify.store(p_batches notify.batch[], p_of integer[], p_recipients text[], p_options jsonb) IS 'The one place where batches and notifications are written: p_recipients[i] is to receive p_batches[p_of[i]]. p_options: those of the only batch. All was checked, and the recipients are locked. Ids are given here, in that order. Returns a row for each; those without an id, of whom a trigger of the application wanted none, come last.';

CREATE FUNCTION notify.take_deliveries(p_channel text, p_max integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS …;

COMMENT ON FUNCTION notify.take_deliveries(p_channel text, p_max integer) IS 'Locks up to p_max due deliveries of a channel that nobody else has locked, urgent first, and returns their ids; of a channel that rests, and is tried again, any of those that are due first or last.';

CREATE FUNCTION notify.take_mailboxes(p_ids bigint[], p_wait boolean, OUT recipients text[], OUT places tid[], OUT generations bigint[], OUT last_seqs bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS …;

COMMENT ON FUNCTION notify.take_mailboxes(p_ids bigint[], p_wait boolean, OUT recipients text[], OUT places tid[], OUT generations bigint[], OUT last_seqs bigint[]) IS 'Locks the mailboxes of these notifications in recipient order and returns what they hold; those that another session holds are left out, unless p_wait. places: where the rows lie for as long as they are locked. Finding a mailbox means a walk over all its versions that a long snapshot keeps, so it is found once.';

CREATE FUNCTION notify.tidy(p_keep_answers interval, p_max integer, OUT answers integer, OUT wakeups integer, OUT jobs integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'notify_jobs', 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.tidy(p_keep_answers interval, p_max integer, OUT answers integer, OUT wakeups integer, OUT jobs integer) IS 'Deletes old idempotency answers, wakeups that nobody answered, and dispatch and deliver jobs whose second is over by a minute, also those stuck in doing, and other jobs of ours that a dead worker left in doing.';

CREATE FUNCTION notify.token_key() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.token_key() IS 'What signs the tokens of recipients, where NOTIFY_TOKEN_SECRET is not set.';

CREATE FUNCTION notify.unsubscribe(p_recipient text, p_channel text, p_type text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.unsubscribe(p_recipient text, p_channel text, p_type text) IS 'Adds to a recipient''s preferences that it wants no more of a type on a channel, by its own hand, which lasts. Returns whether there is such a recipient.';

CREATE FUNCTION notify.unsubscribe_key() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.unsubscribe_key() IS 'What signs links to unsubscribe.';

CREATE FUNCTION notify.upsert_recipient(id text, time_zone text DEFAULT NULL::text, locale text DEFAULT NULL::text, addresses jsonb DEFAULT NULL::jsonb, preferences jsonb DEFAULT NULL::jsonb) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.upsert_recipient(id text, time_zone text, locale text, addresses jsonb, preferences jsonb) IS 'Registers a recipient, or updates what is given and leaves the rest. Returns whether it was new.';

CREATE FUNCTION notify.upsert_recipients(p_rows jsonb, p_replace boolean) RETURNS TABLE(id text, created boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION notify.upsert_recipients(p_rows jsonb, p_replace boolean) IS 'Registers or updates many: an array of {id, time_zone, locale, addresses, preferences}. What a row does not give stays, unless p_replace; addresses and preferences are merged by key. What recipients have opted out of themselves stays in any case, but for what opt_in of preferences lifts. Returns id and whether it was new.';

CREATE FUNCTION notify.with_opt_outs(p_preferences jsonb, p_more jsonb, p_lifted jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS …;

COMMENT ON FUNCTION notify.with_opt_outs(p_preferences jsonb, p_more jsonb, p_lifted jsonb) IS 'These preferences with what the recipient itself has opted out of: entries with by = recipient, of theirs and of p_more, but for those that hold all that an entry of p_lifted names.';

CREATE TABLE notify.api_key (
    id bigint NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_key_name_check CHECK (((name <> ''::text) AND (char_length(name) <= 100))),
    CONSTRAINT api_key_scopes_check CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['schedule'::text, 'read'::text, 'admin'::text])))
);

COMMENT ON TABLE notify.api_key IS 'Keys of applications. The key itself is shown once and stored nowhere.';

COMMENT ON COLUMN notify.api_key.id IS 'Number that `notify keys revoke` takes.';

COMMENT ON COLUMN notify.api_key.name IS 'Who uses it, for people.';

COMMENT ON COLUMN notify.api_key.prefix IS 'First characters of the key, to recognise it by.';

COMMENT ON COLUMN notify.api_key.hash IS 'SHA-256 of the whole key. The key has 256 random bits, so no salt is needed.';

COMMENT ON COLUMN notify.api_key.scopes IS 'schedule: schedule, cancel, move, send and retry notifications, and mark them read. read: look at them. admin: all, and recipients and tokens.';

COMMENT ON COLUMN notify.api_key.created_at IS 'When it was made.';

COMMENT ON COLUMN notify.api_key.expires_at IS 'From then on it is refused; null: never.';

COMMENT ON COLUMN notify.api_key.revoked_at IS 'When it was revoked; null: it was not.';

ALTER TABLE notify.api_key ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME notify.api_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE notify.attempt (
    delivery_id bigint NOT NULL,
    number integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    detail text,
    code text,
    CONSTRAINT attempt_check CHECK ((finished_at >= started_at)),
    CONSTRAINT attempt_number_check CHECK ((number > 0)),
    CONSTRAINT attempt_outcome_check CHECK ((outcome = ANY (ARRAY['sent'::text, 'retry'::text, 'failed'::text])))
);

COMMENT ON TABLE notify.attempt IS 'One try of a delivery. Rows are added and never changed.';

COMMENT ON COLUMN notify.attempt.delivery_id IS 'Of which delivery.';

COMMENT ON COLUMN notify.attempt.number IS '1, 2, 3, …';

COMMENT ON COLUMN notify.attempt.started_at IS 'When the provider was called.';

COMMENT ON COLUMN notify.attempt.finished_at IS 'When its answer was known.';

COMMENT ON COLUMN notify.attempt.outcome IS 'sent, retry or failed.';

COMMENT ON COLUMN notify.attempt.detail IS 'The provider''s answer, shortened.';

COMMENT ON COLUMN notify.attempt.code IS 'What the failure was, as smtp-550; null: it was sent.';

ALTER TABLE notify.batch ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME notify.batch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE notify.batch_option (
    batch_id bigint NOT NULL,
    retry jsonb,
    spread_over interval,
    contents jsonb,
    CONSTRAINT batch_option_contents_check CHECK ((jsonb_typeof(contents) = 'object'::text)),
    CONSTRAINT batch_option_retry_check CHECK ((jsonb_typeof(retry) = 'object'::text)),
    CONSTRAINT batch_option_spread_over_check CHECK ((spread_over > '00:00:00'::interval))
);

COMMENT ON TABLE notify.batch_option IS 'What few batches have.';

COMMENT ON COLUMN notify.batch_option.batch_id IS 'Which batch.';

COMMENT ON COLUMN notify.batch_option.retry IS 'Its part of the retry policy, which goes before the type''s; null: nothing of its own.';

COMMENT ON COLUMN notify.batch_option.spread_over IS 'Over how long its notifications were spread; null: all are due at once.';

COMMENT ON COLUMN notify.batch_option.contents IS 'What a template made of it: {default_locale, locales: {"de": {title, message, html}}}; null: none.';

CREATE TABLE notify.channel (
    name text NOT NULL,
    description text NOT NULL,
    paused_at timestamp with time zone,
    retry jsonb,
    rate double precision,
    CONSTRAINT channel_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,31}$'::text)),
    CONSTRAINT channel_rate_check CHECK ((rate > (0)::double precision)),
    CONSTRAINT channel_retry_check CHECK ((jsonb_typeof(retry) = 'object'::text)),
    CONSTRAINT inbox_never_paused CHECK (((name <> 'inbox'::text) OR (paused_at IS NULL)))
);

COMMENT ON TABLE notify.channel IS 'Ways to reach a recipient. schedule() refuses a name that is not here.';

COMMENT ON COLUMN notify.channel.name IS 'As callers write it in `channels`.';

COMMENT ON COLUMN notify.channel.description IS 'What it does, for people.';

COMMENT ON COLUMN notify.channel.paused_at IS 'Since when nothing is sent on it; null: it is not paused. What is due waits.';

COMMENT ON COLUMN notify.channel.retry IS 'Its part of the retry policy: delays, jitter, max_age (seconds), final; null: the default.';

COMMENT ON COLUMN notify.channel.rate IS 'Most deliveries a second, all workers together; null: no limit.';

CREATE TABLE notify.channel_state (
    channel text NOT NULL,
    tokens double precision DEFAULT 0 NOT NULL,
    filled_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    rests integer DEFAULT 0 NOT NULL,
    rests_until timestamp with time zone,
    tried_until timestamp with time zone,
    CONSTRAINT channel_state_failures_check CHECK ((failures >= 0)),
    CONSTRAINT channel_state_rests_check CHECK ((rests >= 0))
)
WITH (fillfactor='50');

COMMENT ON TABLE notify.channel_state IS 'What the workers know of each channel together: its rate, and whether it works.';

COMMENT ON COLUMN notify.channel_state.channel IS 'Which channel.';

COMMENT ON COLUMN notify.channel_state.tokens IS 'Deliveries that the rate allowed at filled_at.';

COMMENT ON COLUMN notify.channel_state.filled_at IS 'When tokens were counted.';

COMMENT ON COLUMN notify.channel_state.failures IS 'Outages in a row, as long as it is not resting.';

COMMENT ON COLUMN notify.channel_state.rests IS 'How often in a row it was put to rest; 0: it works.';

COMMENT ON COLUMN notify.channel_state.rests_until IS 'Until then nothing is tried on it.';

COMMENT ON COLUMN notify.channel_state.tried_until IS 'Until then the one delivery that tries whether it works again is under way.';

CREATE VIEW notify.channels AS
 SELECT c.name,
    c.description,
        CASE
            WHEN (c.paused_at IS NOT NULL) THEN 'paused'::text
            WHEN (s.rests > 0) THEN 'resting'::text
            ELSE 'open'::text
        END AS state,
    c.paused_at,
        CASE
            WHEN (s.rests > 0) THEN s.rests_until
            ELSE NULL::timestamp with time zone
        END AS rests_until,
    c.rate,
    c.retry
   FROM (notify.channel c
     JOIN notify.channel_state s ON ((s.channel = c.name)))
  ORDER BY c.name;

COMMENT ON VIEW notify.channels IS 'The channels, and whether they are used: paused by somebody, or resting after outages.';

COMMENT ON COLUMN notify.channels.name IS 'As callers write it.';

COMMENT ON COLUMN notify.channels.description IS 'What it does.';

COMMENT ON COLUMN notify.channels.state IS 'open, paused or resting.';

COMMENT ON COLUMN notify.channels.paused_at IS 'Since when it is paused.';

COMMENT ON COLUMN notify.channels.rests_until IS 'When it is tried again after outages.';

COMMENT ON COLUMN notify.channels.rate IS 'Most deliveries a second.';

COMMENT ON COLUMN notify.channels.retry IS 'Its part of the retry policy.';

CREATE VIEW notify.dead_letters AS
 SELECT n.id AS notification_id,
    NULL::bigint AS delivery_id,
    n.recipient,
    NULL::text AS channel,
    n.failed_at,
    n.failure_reason AS reason,
    NULL::text AS code
   FROM notify.notification n
  WHERE (n.failed_at IS NOT NULL)
UNION ALL
 SELECT d.notification_id,
    d.id AS delivery_id,
    n.recipient,
    d.channel,
    d.failed_at,
    d.error AS reason,
    d.code
   FROM (notify.delivery d
     JOIN notify.notification n ON ((n.id = d.notification_id)))
  WHERE (d.status = 'failed'::notify.delivery_status);

COMMENT ON VIEW notify.dead_letters IS 'What was given up: notifications parked as faulty, and deliveries out of attempts.';

COMMENT ON COLUMN notify.dead_letters.notification_id IS 'Which notification.';

COMMENT ON COLUMN notify.dead_letters.delivery_id IS 'Which delivery of it; null: the notification itself.';

COMMENT ON COLUMN notify.dead_letters.recipient IS 'Who did not get it.';

COMMENT ON COLUMN notify.dead_letters.channel IS 'Of a delivery.';

COMMENT ON COLUMN notify.dead_letters.failed_at IS 'When it was given up.';

COMMENT ON COLUMN notify.dead_letters.reason IS 'Why.';

COMMENT ON COLUMN notify.dead_letters.code IS 'What the failure of a delivery was, as smtp-550; null: the notification itself.';

CREATE VIEW notify.delivery_counts AS
 SELECT channel,
    status,
    code,
    count(*) AS deliveries,
    min(due_at) AS earliest_due,
    max(failed_at) AS last_failed
   FROM notify.delivery d
  GROUP BY channel, status, code
  ORDER BY channel, status, (count(*)) DESC;

COMMENT ON VIEW notify.delivery_counts IS 'How many deliveries stand where, by channel, status and error code. Reads every row: for people, not for dashboards that poll.';

COMMENT ON COLUMN notify.delivery_counts.channel IS 'On which channel.';

COMMENT ON COLUMN notify.delivery_counts.status IS 'pending, leased, sent, failed or cancelled.';

COMMENT ON COLUMN notify.delivery_counts.code IS 'What the last failure was, as smtp-550; null: there was none.';

COMMENT ON COLUMN notify.delivery_counts.deliveries IS 'How many.';

COMMENT ON COLUMN notify.delivery_counts.earliest_due IS 'Earliest due time of an attempt among them.';

COMMENT ON COLUMN notify.delivery_counts.last_failed IS 'When the last of them was given up.';

ALTER TABLE notify.delivery ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME notify.delivery_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE notify.endpoint (
    recipient text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL,
    address_hash text NOT NULL,
    failures integer NOT NULL,
    failing_since timestamp with time zone NOT NULL,
    failed_at timestamp with time zone NOT NULL,
    rests_until timestamp with time zone,
    disabled_at timestamp with time zone,
    disabled_reason text,
    CONSTRAINT disabled_or_reason_null CHECK (((disabled_at IS NULL) = (disabled_reason IS NULL))),
    CONSTRAINT endpoint_failures_check CHECK ((failures > 0))
);

COMMENT ON TABLE notify.endpoint IS 'Addresses that failed last time. Another address of the recipient makes its row void.';

COMMENT ON COLUMN notify.endpoint.recipient IS 'Whose address.';

COMMENT ON COLUMN notify.endpoint.channel IS 'On which channel.';

COMMENT ON COLUMN notify.endpoint.address_hash IS 'MD5 of the address that failed.';

COMMENT ON COLUMN notify.endpoint.failures IS 'How often in a row.';

COMMENT ON COLUMN notify.endpoint.failing_since IS 'Since when nothing got through.';

COMMENT ON COLUMN notify.endpoint.failed_at IS 'When it last failed.';

COMMENT ON COLUMN notify.endpoint.rests_until IS 'Until then it is left alone: it asked for that, or fails.';

COMMENT ON COLUMN notify.endpoint.disabled_at IS 'From then on nothing is sent to it.';

COMMENT ON COLUMN notify.endpoint.disabled_reason IS 'Why.';

CREATE VIEW notify.disabled_addresses AS
 SELECT e.recipient,
    e.channel,
    e.failing_since,
    e.disabled_at,
    e.disabled_reason AS reason
   FROM (notify.endpoint e
     JOIN notify.recipient r ON ((r.id = e.recipient)))
  WHERE ((e.disabled_at IS NOT NULL) AND (e.address_hash = md5(((r.addresses -> e.channel))::text)))
  ORDER BY e.disabled_at DESC;

COMMENT ON VIEW notify.disabled_addresses IS 'Addresses that nothing is sent to any more; enable_address() or another address changes that.';

COMMENT ON COLUMN notify.disabled_addresses.recipient IS 'Whose address.';

COMMENT ON COLUMN notify.disabled_addresses.channel IS 'On which channel.';

COMMENT ON COLUMN notify.disabled_addresses.failing_since IS 'Since when nothing got through.';

COMMENT ON COLUMN notify.disabled_addresses.disabled_at IS 'When it was disabled.';

COMMENT ON COLUMN notify.disabled_addresses.reason IS 'Why.';

CREATE VIEW notify.due AS
 SELECT n.id,
    n.recipient,
    b.title,
    n.priority,
    n.due_at,
    (n.due_at - notify.now()) AS due_in,
    n.batch_id,
    b.reference
   FROM (notify.notification n
     JOIN notify.batch b ON ((b.id = n.batch_id)))
  WHERE (n.status = 'pending'::notify.status)
  ORDER BY n.due_at, n.id;

COMMENT ON VIEW notify.due IS 'Everything pending, the next first. Add a limit: there may be millions.';

COMMENT ON COLUMN notify.due.id IS 'Notification.';

COMMENT ON COLUMN notify.due.recipient IS 'Who receives it.';

COMMENT ON COLUMN notify.due.title IS 'Its title.';

COMMENT ON COLUMN notify.due.priority IS 'low, normal, high or urgent.';

COMMENT ON COLUMN notify.due.due_at IS 'When it is to be sent.';

COMMENT ON COLUMN notify.due.due_in IS 'How long until then; negative: overdue.';

COMMENT ON COLUMN notify.due.batch_id IS 'Its batch.';

COMMENT ON COLUMN notify.due.reference IS 'The caller''s own key.';

CREATE TABLE notify.idempotency (
    owner text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_key_check CHECK (((char_length(key) >= 1) AND (char_length(key) <= 255)))
);

COMMENT ON TABLE notify.idempotency IS 'First answers, kept so that a repeated request gets the same one.';

COMMENT ON COLUMN notify.idempotency.owner IS 'Whose key it is: an API key (`key:7`) or a database role (`sql:app`).';

COMMENT ON COLUMN notify.idempotency.key IS 'The caller''s Idempotency-Key.';

COMMENT ON COLUMN notify.idempotency.request_hash IS 'SHA-256 of the request; another request under the same key is refused.';

COMMENT ON COLUMN notify.idempotency.answer IS 'What was answered first.';

COMMENT ON COLUMN notify.idempotency.created_at IS 'Kept at least 24 h from then.';

CREATE VIEW notify.lateness AS
 SELECT date_trunc('minute'::text, sent_at) AS minute,
    count(*) AS sent,
    round(((percentile_cont((0.5)::double precision) WITHIN GROUP (ORDER BY ((EXTRACT(epoch FROM (sent_at - due_at)))::double precision)) * (1000)::double precision))::numeric, 1) AS p50_ms,
    round(((percentile_cont((0.99)::double precision) WITHIN GROUP (ORDER BY ((EXTRACT(epoch FROM (sent_at - due_at)))::double precision)) * (1000)::double precision))::numeric, 1) AS p99_ms,
    round((max(EXTRACT(epoch FROM (sent_at - due_at))) * (1000)::numeric), 1) AS max_ms
   FROM notify.notification n
  WHERE ((sent_at IS NOT NULL) AND (sent_at > (notify.now() - '01:00:00'::interval)))
  GROUP BY (date_trunc('minute'::text, sent_at))
  ORDER BY (date_trunc('minute'::text, sent_at)) DESC;

COMMENT ON VIEW notify.lateness IS 'How late notifications left, minute by minute, over the last hour.';

COMMENT ON COLUMN notify.lateness.minute IS 'Start of the minute in which they were sent.';

COMMENT ON COLUMN notify.lateness.sent IS 'How many.';

COMMENT ON COLUMN notify.lateness.p50_ms IS 'Half of them were at most that late, in milliseconds.';

COMMENT ON COLUMN notify.lateness.p99_ms IS '99 of 100 were at most that late, in milliseconds.';

COMMENT ON COLUMN notify.lateness.max_ms IS 'The latest of them, in milliseconds.';

CREATE SEQUENCE notify.mailbox_generation
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE notify.mailbox_generation IS 'Tells a recipient who was deleted and made again from the one before.';

CREATE TABLE notify.mailbox (
    recipient text NOT NULL COLLATE pg_catalog."C",
    generation bigint DEFAULT nextval('notify.mailbox_generation'::regclass) NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    unread bigint DEFAULT 0 NOT NULL,
    acked_seq bigint DEFAULT 0 NOT NULL,
    floor_seq bigint DEFAULT 0 NOT NULL,
    CONSTRAINT mailbox_acked CHECK (((acked_seq >= 0) AND (acked_seq <= last_seq))),
    CONSTRAINT mailbox_floor CHECK (((floor_seq >= 0) AND (floor_seq <= last_seq))),
    CONSTRAINT mailbox_unread CHECK (((unread >= 0) AND (unread <= last_seq)))
)
WITH (fillfactor='70');

COMMENT ON TABLE notify.mailbox IS 'Where a recipient''s stream stands. Its row lock makes seq order the commit order.';

COMMENT ON COLUMN notify.mailbox.recipient IS 'Whose it is.';

COMMENT ON COLUMN notify.mailbox.generation IS 'Part of the epoch: a new one when the recipient was deleted and made again.';

COMMENT ON COLUMN notify.mailbox.last_seq IS 'Seq of the newest notification in the stream; 0: none yet.';

COMMENT ON COLUMN notify.mailbox.unread IS 'Stored notifications of the stream that were not marked read. Exact at all times.';

COMMENT ON COLUMN notify.mailbox.acked_seq IS 'Up to here a client said that it received.';

COMMENT ON COLUMN notify.mailbox.floor_seq IS 'Up to here retention may have deleted; a cursor below it means reset.';

CREATE TABLE notify.migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE notify.migration IS 'The steps that brought this schema to its version; written by notify migrate alone';

COMMENT ON COLUMN notify.migration.name IS 'procrastinate/<file>, migrations/<file>, or jobs, functions, views and grants, which are applied again when they change';

COMMENT ON COLUMN notify.migration.checksum IS 'SHA-256 of the text that was applied';

COMMENT ON COLUMN notify.migration.applied_at IS 'When it was applied, by the clock of the database';

ALTER TABLE notify.notification ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME notify.notification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW notify.overdue AS
 SELECT id,
    recipient,
    priority,
    due_at,
    (notify.now() - due_at) AS lateness,
    batch_id
   FROM notify.notification n
  WHERE ((status = 'pending'::notify.status) AND (due_at <= notify.now()))
  ORDER BY due_at, id;

COMMENT ON VIEW notify.overdue IS 'Pending though due. A healthy service shows nothing here for longer than a fraction of a second.';

COMMENT ON COLUMN notify.overdue.id IS 'Notification.';

COMMENT ON COLUMN notify.overdue.recipient IS 'Who waits for it.';

COMMENT ON COLUMN notify.overdue.priority IS 'low, normal, high or urgent.';

COMMENT ON COLUMN notify.overdue.due_at IS 'When it should have been sent.';

COMMENT ON COLUMN notify.overdue.lateness IS 'How late it is by now.';

COMMENT ON COLUMN notify.overdue.batch_id IS 'Its batch.';

CREATE TABLE notify.secret (
    name text NOT NULL,
    value text NOT NULL,
    CONSTRAINT secret_value_check CHECK ((value <> ''::text))
);

COMMENT ON TABLE notify.secret IS 'Values that every process of the service shares and nobody else reads.';

COMMENT ON COLUMN notify.secret.name IS 'signal_channel: the LISTEN name of the drain''s signals. token_key: signs recipient tokens. unsubscribe_key: signs links to unsubscribe. installation: makes the ids that providers see unique in the world; no secret.';

COMMENT ON COLUMN notify.secret.value IS 'The secret itself.';

CREATE VIEW notify.status_counts AS
 SELECT s.status,
    count(n.id) AS notifications,
    min(n.due_at) AS earliest_due,
    max(n.due_at) AS latest_due
   FROM (unnest(enum_range(NULL::notify.status)) s(status)
     LEFT JOIN notify.notification n ON ((n.status = s.status)))
  GROUP BY s.status
  ORDER BY s.status;

COMMENT ON VIEW notify.status_counts IS 'How many notifications stand in each status. Reads every row: for people, not for dashboards that poll.';

COMMENT ON COLUMN notify.status_counts.status IS 'pending, sending, sent, cancelled or failed.';

COMMENT ON COLUMN notify.status_counts.notifications IS 'How many.';

COMMENT ON COLUMN notify.status_counts.earliest_due IS 'Earliest due time among them.';

COMMENT ON COLUMN notify.status_counts.latest_due IS 'Latest due time among them.';

CREATE VIEW notify.stuck AS
 SELECT 'notification'::text AS what,
    n.id,
    n.recipient,
    NULL::text AS channel,
    n.due_at AS since,
        CASE
            WHEN (EXISTS ( SELECT
               FROM pg_locks l
              WHERE ((l.locktype = 'advisory'::text) AND (l.classid = (5477)::oid) AND l.granted))) THEN 'overdue by more than a minute while a drain is running: its row or mailbox may be locked by another session'::text
            ELSE 'overdue by more than a minute: is a worker running?'::text
        END AS hint
   FROM notify.notification n
  WHERE ((n.status = 'pending'::notify.status) AND (n.due_at < (notify.now() - '00:01:00'::interval)))
UNION ALL
 SELECT 'delivery'::text AS what,
    d.id,
    n.recipient,
    d.channel,
    d.leased_until AS since,
    'its lease ran out: retry_failed_notifications takes it back'::text AS hint
   FROM (notify.delivery d
     JOIN notify.notification n ON ((n.id = d.notification_id)))
  WHERE ((d.status = 'leased'::notify.delivery_status) AND (d.leased_until < notify.now()))
UNION ALL
 SELECT 'delivery'::text AS what,
    d.id,
    n.recipient,
    d.channel,
    d.due_at AS since,
        CASE
            WHEN (s.rests > 0) THEN 'overdue by more than five minutes: its channel rests after outages, and is tried again by itself'::text
            WHEN (c.rate IS NOT NULL) THEN 'overdue by more than five minutes: its channel has a limited rate'::text
            ELSE 'overdue by more than five minutes: does a worker serve its channel?'::text
        END AS hint
   FROM (((notify.delivery d
     JOIN notify.notification n ON ((n.id = d.notification_id)))
     JOIN notify.channel c ON ((c.name = d.channel)))
     JOIN notify.channel_state s ON ((s.channel = d.channel)))
  WHERE ((d.status = 'pending'::notify.delivery_status) AND (d.held IS NULL) AND (d.due_at < (notify.now() - '00:05:00'::interval)) AND (c.paused_at IS NULL));

COMMENT ON VIEW notify.stuck IS 'What should have moved and did not, with a hint where to look.';

COMMENT ON COLUMN notify.stuck.what IS 'notification or delivery.';

COMMENT ON COLUMN notify.stuck.id IS 'Its id.';

COMMENT ON COLUMN notify.stuck.recipient IS 'Who waits for it.';

COMMENT ON COLUMN notify.stuck.channel IS 'Of a delivery.';

COMMENT ON COLUMN notify.stuck.since IS 'Since when it should have moved.';

COMMENT ON COLUMN notify.stuck.hint IS 'What to look at.';

CREATE TABLE notify.type (
    name text NOT NULL,
    required boolean DEFAULT false NOT NULL,
    paused_at timestamp with time zone,
    retry jsonb,
    CONSTRAINT type_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100))),
    CONSTRAINT type_retry_check CHECK ((jsonb_typeof(retry) = 'object'::text))
);

COMMENT ON TABLE notify.type IS 'Types of notification that something is to be said about; all others are as if they had the defaults.';

COMMENT ON COLUMN notify.type.name IS 'As callers write it in `type`.';

COMMENT ON COLUMN notify.type.required IS 'Whether recipients cannot opt out of it.';

COMMENT ON COLUMN notify.type.paused_at IS 'Since when its deliveries on outside channels wait; null: they do not.';

COMMENT ON COLUMN notify.type.retry IS 'Its part of the retry policy, which goes before the channel''s; null: nothing of its own.';

CREATE TABLE notify.wakeup (
    at timestamp with time zone NOT NULL,
    due_from timestamp with time zone NOT NULL
);

COMMENT ON TABLE notify.wakeup IS 'Unanswered rings of the alarm clock. They damp duplicates; none of them is needed for correctness, so no unique key makes one caller wait for another.';

COMMENT ON COLUMN notify.wakeup.at IS 'When the drain should look.';

COMMENT ON COLUMN notify.wakeup.due_from IS 'Due time from which it should look: rows that were committed late lie before the ticker''s low-water mark.';

ALTER TABLE ONLY notify.api_key
    ADD CONSTRAINT api_key_hash_key UNIQUE (hash);

ALTER TABLE ONLY notify.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notify.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (delivery_id, number);

ALTER TABLE ONLY notify.batch_option
    ADD CONSTRAINT batch_option_pkey PRIMARY KEY (batch_id);

ALTER TABLE ONLY notify.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notify.channel
    ADD CONSTRAINT channel_pkey PRIMARY KEY (name);

ALTER TABLE ONLY notify.channel_state
    ADD CONSTRAINT channel_state_pkey PRIMARY KEY (channel);

ALTER TABLE ONLY notify.delivery
    ADD CONSTRAINT delivery_notification_id_channel_key UNIQUE (notification_id, channel);

ALTER TABLE ONLY notify.delivery
    ADD CONSTRAINT delivery_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notify.endpoint
    ADD CONSTRAINT endpoint_pkey PRIMARY KEY (recipient, channel);

ALTER TABLE ONLY notify.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (owner, key);

ALTER TABLE ONLY notify.mailbox
    ADD CONSTRAINT mailbox_pkey PRIMARY KEY (recipient);

ALTER TABLE ONLY notify.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY notify.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notify.recipient
    ADD CONSTRAINT recipient_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notify.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (name);

ALTER TABLE ONLY notify.template
    ADD CONSTRAINT template_pkey PRIMARY KEY (name, version);

ALTER TABLE ONLY notify.type
    ADD CONSTRAINT type_pkey PRIMARY KEY (name);

CREATE INDEX batch_reference ON notify.batch USING btree (reference) WHERE (reference IS NOT NULL);

CREATE INDEX delivery_due ON notify.delivery USING btree (channel, priority, due_at, id) WHERE ((status = 'pending'::notify.delivery_status) AND (held IS NULL));

CREATE INDEX delivery_failed ON notify.delivery USING btree (id) WHERE (status = 'failed'::notify.delivery_status);

CREATE INDEX delivery_held ON notify.delivery USING btree (held, id) WHERE (held IS NOT NULL);

CREATE INDEX delivery_leased ON notify.delivery USING btree (leased_until) WHERE (status = 'leased'::notify.delivery_status);

CREATE INDEX delivery_unsent ON notify.delivery USING btree (id) WHERE (status <> 'sent'::notify.delivery_status);

CREATE INDEX idempotency_created ON notify.idempotency USING btree (created_at);

CREATE INDEX notification_batch ON notify.notification USING btree (batch_id);

CREATE INDEX notification_cancelled ON notify.notification USING btree (cancelled_at) WHERE (cancelled_at IS NOT NULL);

CREATE INDEX notification_due ON notify.notification USING btree (priority, due_at, id) WHERE (status = 'pending'::notify.status);

CREATE INDEX notification_failed ON notify.notification USING btree (failed_at) WHERE (failed_at IS NOT NULL);

CREATE INDEX notification_sent ON notify.notification USING btree (sent_at) WHERE (sent_at IS NOT NULL);

CREATE UNIQUE INDEX notification_stream ON notify.notification USING btree (recipient, seq);

CREATE INDEX wakeup_at ON notify.wakeup USING btree (at);

CREATE CONSTRAINT TRIGGER batch_rings AFTER INSERT ON notify.batch DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION notify.ring_at_commit();

CREATE CONSTRAINT TRIGGER notification_rings AFTER UPDATE OF due_at ON notify.notification DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.status = 'pending'::notify.status)) EXECUTE FUNCTION notify.ring_at_commit();

ALTER TABLE ONLY notify.attempt
    ADD CONSTRAINT attempt_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES notify.delivery(id) ON DELETE CASCADE;

ALTER TABLE ONLY notify.batch_option
    ADD CONSTRAINT batch_option_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES notify.batch(id) ON DELETE CASCADE;

ALTER TABLE ONLY notify.channel_state
    ADD CONSTRAINT channel_state_channel_fkey FOREIGN KEY (channel) REFERENCES notify.channel(name) ON DELETE CASCADE;

ALTER TABLE ONLY notify.delivery
    ADD CONSTRAINT delivery_channel_fkey FOREIGN KEY (channel) REFERENCES notify.channel(name);

ALTER TABLE ONLY notify.delivery
    ADD CONSTRAINT delivery_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES notify.notification(id) ON DELETE CASCADE;

ALTER TABLE ONLY notify.endpoint
    ADD CONSTRAINT endpoint_channel_fkey FOREIGN KEY (channel) REFERENCES notify.channel(name);

ALTER TABLE ONLY notify.endpoint
    ADD CONSTRAINT endpoint_recipient_fkey FOREIGN KEY (recipient) REFERENCES notify.recipient(id) ON DELETE CASCADE;

ALTER TABLE ONLY notify.mailbox
    ADD CONSTRAINT mailbox_recipient_fkey FOREIGN KEY (recipient) REFERENCES notify.recipient(id);

ALTER TABLE ONLY notify.notification
    ADD CONSTRAINT notification_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES notify.batch(id);

ALTER TABLE ONLY notify.notification
    ADD CONSTRAINT notification_recipient_fkey FOREIGN KEY (recipient) REFERENCES notify.mailbox(recipient);
