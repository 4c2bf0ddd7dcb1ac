-- silver.reactions: who reacted to what.
-- Grain: one row per (message_id, user_id, emoji).
-- Invariants: a reaction without a time happened when its message was sent; of several entries with one
-- key the earliest counts; only messages that silver.messages has occur.
WITH versions AS (
    -- The same versions of messages as in silver.messages, which does not carry the reactions.
    SELECT message_id, conversation_id, sender_id, created_at, reactions FROM bronze.messages
),

reactions_of_message AS (
    SELECT
        message_id,
        conversation_id,
        sender_id,
        earliest_reactions(reactions, created_at) AS reactions
    FROM versions
    WHERE message_id <> '' AND conversation_id <> '' AND sender_id <> '' AND created_at IS NOT NULL
        AND item_count(reactions) > 0
),

reactions AS (
    SELECT message_id, conversation_id, sender_id, unnest(reactions) AS reaction
    FROM reactions_of_message
)

SELECT
    message_id,
    reaction['user_id'] AS user_id,
    reaction['emoji'] AS emoji,
    conversation_id,
    sender_id AS message_sender_id,
    reaction['reacted_at'] AS reacted_at,
    CAST(reaction['reacted_at'] AS DATE) AS reacted_date
FROM reactions
