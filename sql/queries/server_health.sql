select current_setting('server_version_num')::integer as version, clock_timestamp() as at,
  current_setting('fsync')::boolean as fsync, current_setting('full_page_writes')::boolean as full_page_writes,
  pg_is_in_recovery() as standby, pg_notification_queue_usage() as queue_usage
