-- silver.media: which message uses an object.
-- Grain: one row per key of bronze.media.
-- Invariants: is_orphan says that there is no message_id; only messages that silver.messages has are users, deleted
-- ones and those after as_of included; of several the earliest counts, then the smallest message_id.
WITH versions AS (
    -- The same versions of messages as in silver.messages, which does not carry the addresses.
    SELECT message_id, conversation_id, sender_id, created_at, attachments FROM bronze.messages
),

addresses_of_message AS (
    SELECT message_id, created_at, distinct_values(attachments, 'url') AS urls
    FROM versions
    WHERE message_id <> '' AND conversation_id <> '' AND sender_id <> '' AND created_at IS NOT NULL
        AND item_count(attachments) > 0
),

addresses AS (
    SELECT message_id, created_at, unnest(urls) AS url
    FROM addresses_of_message
    WHERE item_count(urls) > 0
),

attached AS (
    SELECT media_key(url) AS key, message_id, created_at
    FROM addresses
),

uses AS (
    SELECT
        attached.key,
        attached.message_id,
        row_number() OVER (PARTITION BY attached.key ORDER BY attached.created_at, attached.message_id) AS place
    FROM bronze.media AS objects
    JOIN attached ON attached.key = objects.key
),

first_uses AS (
    SELECT key, message_id
    FROM uses
    WHERE place = 1
)

SELECT
    objects.key,
    objects.size_bytes,
    objects.content_type,
    first_uses.message_id,
    first_uses.message_id IS NULL AS is_orphan
FROM bronze.media AS objects
LEFT JOIN first_uses ON first_uses.key = objects.key
