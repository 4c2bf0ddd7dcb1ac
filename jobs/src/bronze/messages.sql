-- bronze.messages: one row per message document of MongoDB.
-- Grain: a version of a document; the write keeps the newest version per message_id.
-- Invariants: every decodable document occurs, deleted and expired ones too; created_date is the UTC
-- date of created_at.
SELECT
    message_id,
    conversation_id,
    sender_id,
    message_type,
    content,
    is_encrypted,
    reply_to_message_id,
    attachments,
    reactions,
    read_by,
    is_edited,
    is_deleted,
    is_forwarded,
    created_at,
    updated_at,
    deleted_at,
    expires_at,
    CAST(created_at AS DATE) AS created_date,
    $as_of AS ingested_at,
    'mongodb' AS source_system,
    $run_id AS run_id
FROM mongodb.messages
