-- silver.user_activity: what users did and received, day by day.
-- Grain: one row per user_id and UTC date on which the user did or received anything before as_of.
-- Invariants: orphan users have rows; messages are received by the participants of now, but not by their
-- sender; a call belongs to the date of its created_at, also for who joined it, while its session event is
-- at joined_at, so a row may hold nothing but a session. Durations are summed exactly.
WITH no_activity AS (
    -- No row, but the names and types of what the parts below are about; each leaves out what it is not.
    SELECT
        nullif('', '') AS user_id,
        CAST(NULL AS DATE) AS activity_date,
        CAST(NULL AS BIGINT) AS messages_sent,
        CAST(NULL AS BIGINT) AS messages_received,
        CAST(NULL AS BIGINT) AS reactions_given,
        CAST(NULL AS BIGINT) AS reactions_received,
        CAST(NULL AS BIGINT) AS calls_initiated,
        CAST(NULL AS BIGINT) AS calls_received,
        CAST(NULL AS BIGINT) AS calls_joined,
        CAST(NULL AS DOUBLE) AS call_seconds,
        CAST(NULL AS BIGINT) AS conversations_active,
        CAST(NULL AS BIGINT) AS new_conversations_started,
        CAST(NULL AS BIGINT) AS media_shared,
        CAST(NULL AS BIGINT) AS sessions
    WHERE false
),

messages_sent AS (
    SELECT
        conversation_id,
        sender_id,
        created_date,
        count(*) AS messages,
        count(*) FILTER (WHERE has_attachments) AS media
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, sender_id, created_date
),

sending AS (
    -- What participants received below counts their own messages too; they are taken off here.
    SELECT
        messages_sent.sender_id AS user_id,
        messages_sent.created_date AS activity_date,
        messages_sent.messages AS messages_sent,
        CASE
            WHEN is_member(conversations.participant_ids, messages_sent.sender_id) THEN -messages_sent.messages
        END AS messages_received,
        CAST(1 AS BIGINT) AS conversations_active,
        messages_sent.media AS media_shared
    FROM silver.conversations AS conversations
    RIGHT JOIN messages_sent ON messages_sent.conversation_id = conversations.conversation_id
),

messages_of_day AS (
    SELECT conversation_id, created_date, count(*) AS messages
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, created_date
),

receiving AS (
    SELECT
        unnest(conversations.participant_ids) AS user_id,
        messages_of_day.created_date AS activity_date,
        messages_of_day.messages AS messages_received
    FROM silver.conversations AS conversations
    JOIN messages_of_day ON messages_of_day.conversation_id = conversations.conversation_id
    WHERE item_count(conversations.participant_ids) > 0
),

first_messages AS (
    SELECT conversation_id, sender_id AS user_id, min(created_date) AS activity_date
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, sender_id
),

starting AS (
    SELECT user_id, activity_date, CAST(1 AS BIGINT) AS new_conversations_started
    FROM first_messages
),

reacting AS (
    SELECT user_id, reacted_date AS activity_date, count(*) AS reactions_given
    FROM silver.reactions
    WHERE reacted_at < $as_of
    GROUP BY user_id, reacted_date
),

reacted_to AS (
    SELECT message_sender_id AS user_id, reacted_date AS activity_date, count(*) AS reactions_received
    FROM silver.reactions
    WHERE reacted_at < $as_of
    GROUP BY message_sender_id, reacted_date
),

calling AS (
    SELECT
        initiator_id AS user_id,
        created_date AS activity_date,
        CAST(1 AS BIGINT) AS calls_initiated,
        CASE WHEN is_completed THEN duration_seconds END AS call_seconds
    FROM silver.calls
    WHERE created_at < $as_of
),

call_participants AS (
    SELECT created_date, is_completed, duration_seconds, unnest(participants) AS participant
    FROM silver.calls
    WHERE created_at < $as_of AND item_count(participants) > 0
),

called AS (
    SELECT
        participant['user_id'] AS user_id,
        created_date AS activity_date,
        CAST(1 AS BIGINT) AS calls_received,
        CASE WHEN participant['joined_at'] < $as_of THEN CAST(1 AS BIGINT) END AS calls_joined,
        CASE WHEN participant['joined_at'] < $as_of AND is_completed THEN duration_seconds END AS call_seconds
    FROM call_participants
),

sessions AS (
    SELECT user_id, session_date AS activity_date, count(*) AS sessions
    FROM silver.user_sessions
    WHERE session_start < $as_of
    GROUP BY user_id, session_date
),

messages AS (
    SELECT * FROM no_activity
    UNION ALL BY NAME
    SELECT * FROM sending
    UNION ALL BY NAME
    SELECT * FROM receiving
    UNION ALL BY NAME
    SELECT * FROM starting
),

reactions AS (
    SELECT * FROM no_activity
    UNION ALL BY NAME
    SELECT * FROM reacting
    UNION ALL BY NAME
    SELECT * FROM reacted_to
),

calls_and_sessions AS (
    SELECT * FROM no_activity
    UNION ALL BY NAME
    SELECT * FROM calling
    UNION ALL BY NAME
    SELECT * FROM called
    UNION ALL BY NAME
    SELECT * FROM sessions
),

activity AS (
    SELECT * FROM messages
    UNION ALL BY NAME
    SELECT * FROM reactions
    UNION ALL BY NAME
    SELECT * FROM calls_and_sessions
),

days AS (
    SELECT
        user_id,
        activity_date,
        coalesce(sum(messages_sent), 0) AS messages_sent,
        coalesce(sum(messages_received), 0) AS messages_received,
        coalesce(sum(reactions_given), 0) AS reactions_given,
        coalesce(sum(reactions_received), 0) AS reactions_received,
        coalesce(sum(calls_initiated), 0) AS calls_initiated,
        coalesce(sum(calls_received), 0) AS calls_received,
        coalesce(sum(calls_joined), 0) AS calls_joined,
        coalesce(exact_sum(call_seconds), 0.0) AS call_seconds,
        coalesce(sum(conversations_active), 0) AS conversations_active,
        coalesce(sum(new_conversations_started), 0) AS new_conversations_started,
        coalesce(sum(media_shared), 0) AS media_shared,
        coalesce(sum(sessions), 0) AS sessions
    FROM activity
    GROUP BY user_id, activity_date
)

SELECT
    user_id,
    activity_date,
    messages_sent,
    messages_received,
    reactions_given,
    reactions_received,
    calls_initiated,
    calls_received,
    call_seconds / 60 AS total_call_duration_minutes,
    conversations_active,
    new_conversations_started,
    media_shared,
    sessions,
    messages_sent > 0 OR reactions_given > 0 OR calls_initiated > 0 OR calls_joined > 0 AS is_active_day
FROM days
