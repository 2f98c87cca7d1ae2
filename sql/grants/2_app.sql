-- Applications that schedule in their own transactions: the SQL API, and what the Python client calls besides. No table, no view,
-- and nothing that shows who receives what, or whole lists: get_pending_notifications() of the client shows
-- everybody's contents, so it needs notify_api as well.
grant usage on schema notify to notify_app;
grant execute on function
  notify.schedule, notify.cancel, notify.cancel_reference, notify.reschedule, notify.upsert_recipient,
  -- The client registers by the plural, and asks where one notification stands.
  notify.upsert_recipients, notify.send, notify.retry, notify.schedule_status, notify.now
to notify_app;
