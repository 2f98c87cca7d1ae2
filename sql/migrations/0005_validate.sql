-- A look at all rows, during which they can be written.
alter table notify.notification validate constraint notification_cancel_reason_check;
