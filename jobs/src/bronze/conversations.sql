-- bronze.conversations: one row per conversation document of MongoDB.
-- Grain: a version of a document; the write keeps the newest version per conversation_id.
-- Invariants: created_month is the first day of the UTC month of created_at.
SELECT
    conversation_id,
    type,
    name,
    avatar,
    participants,
    admins,
    last_message_id,
    last_message_at,
    is_archived,
    is_locked,
    created_by,
    created_at,
    updated_at,
    first_of_month(CAST(created_at AS DATE)) AS created_month,
    $as_of AS ingested_at,
    'mongodb' AS source_system,
    $run_id AS run_id
FROM mongodb.conversations
