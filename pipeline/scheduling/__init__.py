"""`kembar schedule` on this machine: one cron expression for systemd, cron and a loop."""
