-- silver.messages: every message with what its lists amount to.
-- Grain: one row per message_id.
-- Invariants: message, conversation, sender and created_at are known; deleted messages and messages after
-- as_of occur; sender_name is the name of now. Counts over lists are of distinct elements: reactions by
-- (user, emoji), readers by user; attachments have no identity, each counts.
WITH versions AS (
    -- bronze.messages has one row per message_id. A second source of messages is to be united here, and
    -- the newest version chosen on (message_id, updated_at) before the wide columns are touched.
    SELECT * FROM bronze.messages
),

valid AS (
    SELECT *
    FROM versions
    WHERE message_id <> '' AND conversation_id <> '' AND sender_id <> '' AND created_at IS NOT NULL
)

SELECT
    valid.message_id,
    valid.conversation_id,
    valid.sender_id,
    senders.display_name AS sender_name,
    valid.message_type,
    valid.content,
    CAST(character_length(valid.content) AS BIGINT) AS content_length,
    item_count(valid.attachments) > 0 AS has_attachments,
    item_count(valid.attachments) AS attachment_count,
    distinct_values(valid.attachments, 'type') AS attachment_types,
    sum_values(valid.attachments, 'size_bytes') AS attachment_bytes,
    distinct_count(valid.reactions, 'user_id', 'emoji') AS reaction_count,
    distinct_count(valid.reactions, 'user_id') AS unique_reactors,
    valid.reply_to_message_id IS NOT NULL AS is_reply,
    valid.reply_to_message_id,
    valid.is_edited,
    valid.is_deleted,
    valid.is_forwarded,
    valid.is_encrypted,
    distinct_count(valid.read_by, 'user_id') AS read_count,
    valid.created_at,
    valid.updated_at,
    valid.created_date,
    CAST(date_part('hour', valid.created_at) AS INT) AS hour,
    CAST(date_part('isodow', valid.created_date) AS INT) AS day_of_week,
    date_part('isodow', valid.created_date) >= 6 AS is_weekend
FROM silver.users AS senders
RIGHT JOIN valid ON valid.sender_id = senders.user_id
