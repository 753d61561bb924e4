-- Until when `duration_ms` is counted, while a manager counts.
ALTER TABLE experiment ADD COLUMN counted_ms INTEGER;
