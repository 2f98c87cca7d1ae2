-- `notify api`: reads what it shows, and changes it by functions alone. It neither makes API keys nor learns secrets but
-- those that sign tokens and links to unsubscribe.
grant usage on schema notify to notify_api;
grant select on notify.recipient, notify.mailbox, notify.batch, notify.notification, notify.type, notify.endpoint,
  notify.delivery, notify.attempt, notify.channels, notify.delivery_counts to notify_api;
grant select (id, hash, scopes, expires_at, revoked_at) on notify.api_key to notify_api;
grant execute on function
  notify.schedule, notify.schedule_together, notify.cancel, notify.cancel_batches, notify.cancel_reference, notify.reschedule, notify.send, notify.retry,
  notify.schedule_status, notify.upsert_recipients, notify.delete_recipient, notify.hold_mailboxes,
  notify.idempotency_begin, notify.idempotency_finish, notify.mark_read, notify.ack,
  notify.put_template, notify.find_template, notify.list_templates, notify.delete_template,
  notify.replay_deliveries, notify.replay_failed, notify.set_channel, notify.set_type, notify.enable_address, notify.unsubscribe,
  notify.unsubscribe_key, notify.listen, notify.token_key, notify.epoch, notify.now
to notify_api;
-- Is the schema there, and is the service well: every process and `notify doctor` ask.
grant select on notify.migration, notify.overdue, notify.dead_letters to notify_api;
