-- silver.conversations: who talks with whom.
-- Grain: one row per conversation_id of bronze.conversations.
-- Invariants: participant_ids are distinct and ascending; last_message_at is what the document says, not
-- what the messages say; is_active looks at its date only, so a future one is active.
SELECT
    conversation_id,
    type,
    name,
    coalesce(trim(avatar) <> '', false) AS has_avatar,
    distinct_values(participants, 'user_id') AS participant_ids,
    distinct_count(participants, 'user_id') AS participant_count,
    distinct_count(admins) AS admin_count,
    last_message_at,
    days_since(CAST(last_message_at AS DATE), $as_of_date) AS days_since_last_message,
    is_archived,
    is_locked,
    coalesce(days_since(CAST(last_message_at AS DATE), $as_of_date) <= 29, false) AS is_active,
    days_since(CAST(created_at AS DATE), $as_of_date) AS conversation_age_days,
    created_at
FROM bronze.conversations
