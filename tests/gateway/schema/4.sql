ALTER TABLE executions ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE executions SET bytes = length(CAST(asked AS BLOB)) + COALESCE(length(CAST(outcome AS
    BLOB)), 0);
CREATE INDEX executions_ended ON executions (sandbox_id, position, bytes) WHERE ended IS NOT NULL;
