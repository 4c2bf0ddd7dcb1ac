-- bronze.calls: one row per call document of MongoDB.
-- Grain: a version of a document; the write keeps the newest version per call_id.
-- Invariants: created_date is the UTC date of created_at.
SELECT
    call_id,
    conversation_id,
    initiator_id,
    participants,
    type,
    status,
    started_at,
    ended_at,
    duration_seconds,
    created_at,
    updated_at,
    CAST(created_at AS DATE) AS created_date,
    $as_of AS ingested_at,
    'mongodb' AS source_system,
    $run_id AS run_id
FROM mongodb.calls
