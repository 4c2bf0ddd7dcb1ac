-- gold.conversation_analytics: what goes on in conversations, and whether they are dying.
-- Grain: one row per conversation of silver.conversations created before as_of, at calculation_date = as_of_date.
-- Invariants: "last N days" end with as_of_date, that day included; senders count whether they are participants or
-- not; without a message every ratio but avg_messages_per_day is null.
WITH no_facts AS (
    -- No row, but the names and types of what the parts below are about; each leaves out what it is not.
    SELECT
        nullif('', '') AS conversation_id,
        CAST(NULL AS BIGINT) AS messages,
        CAST(NULL AS BIGINT) AS messages_7,
        CAST(NULL AS BIGINT) AS messages_30,
        CAST(NULL AS BIGINT) AS media_messages,
        CAST(NULL AS DATE) AS last_date,
        nullif('', '') AS most_active_sender,
        nullif('', '') AS dominant_type,
        CAST(NULL AS BIGINT) AS peak,
        CAST(NULL AS BIGINT) AS reactions
    WHERE false
),

messages AS (
    SELECT
        conversation_id,
        sender_id,
        created_date,
        created_date >= CAST($as_of_date AS DATE) - INTERVAL '6 days' AS is_last_7,
        created_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days' AS is_last_30
    FROM silver.messages
    WHERE created_at < $as_of
),

messages_of_sender AS (
    SELECT
        conversation_id,
        sender_id,
        count(*) AS messages,
        count(*) FILTER (WHERE is_last_7) AS messages_7,
        count(*) FILTER (WHERE is_last_30) AS messages_30,
        max(created_date) AS last_date
    FROM messages
    GROUP BY conversation_id, sender_id
),

ranked_senders AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY conversation_id ORDER BY messages DESC, sender_id) AS place
    FROM messages_of_sender
),

senders AS (
    SELECT
        conversation_id,
        messages,
        messages_7,
        messages_30,
        last_date,
        CASE WHEN place = 1 THEN sender_id END AS most_active_sender
    FROM ranked_senders
),

messages_of_type AS (
    SELECT conversation_id, message_type, count(*) AS messages
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, message_type
),

ranked_types AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY conversation_id ORDER BY messages DESC, message_type) AS place
    FROM messages_of_type
),

types AS (
    SELECT
        conversation_id,
        CASE WHEN message_type IN ('image', 'video', 'audio', 'file') THEN messages END AS media_messages,
        CASE WHEN place = 1 THEN message_type END AS dominant_type
    FROM ranked_types
),

messages_of_hour AS (
    SELECT conversation_id, hour, count(*) AS messages
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, hour
),

hours AS (
    -- One number that orders by messages first and then by the earlier hour.
    SELECT conversation_id, messages * 24 + (23 - hour) AS peak
    FROM messages_of_hour
),

reactions AS (
    SELECT conversation_id, count(*) AS reactions
    FROM silver.reactions
    WHERE reacted_at < $as_of
    GROUP BY conversation_id
),

facts AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM senders
    UNION ALL BY NAME
    SELECT * FROM types
    UNION ALL BY NAME
    SELECT * FROM hours
    UNION ALL BY NAME
    SELECT * FROM reactions
),

figures AS (
    SELECT
        conversation_id,
        sum(messages) AS messages,
        sum(messages_7) AS messages_7,
        sum(messages_30) AS messages_30,
        count(*) FILTER (WHERE messages_7 > 0) AS senders_7,
        sum(media_messages) AS media_messages,
        max(last_date) AS last_date,
        max(most_active_sender) AS most_active_sender,
        max(dominant_type) AS dominant_type,
        max(peak) AS peak,
        sum(reactions) AS reactions
    FROM facts
    GROUP BY conversation_id
),

conversations AS (
    SELECT
        conversation_id,
        participant_count,
        greatest(1, days_since(CAST(created_at AS DATE), $as_of_date)) AS age_days
    FROM silver.conversations
    WHERE created_at < $as_of
),

conversation_figures AS (
    SELECT
        conversations.conversation_id,
        conversations.participant_count,
        conversations.age_days,
        coalesce(figures.messages, 0) AS messages,
        coalesce(figures.messages_7, 0) AS messages_7,
        coalesce(figures.messages_30, 0) AS messages_30,
        coalesce(figures.senders_7, 0) AS senders_7,
        coalesce(figures.media_messages, 0) AS media_messages,
        coalesce(figures.reactions, 0) AS reactions,
        -- Null without a message, and so is every ratio to it.
        CAST(figures.messages AS DOUBLE) AS messages_or_null,
        days_since(figures.last_date, $as_of_date) AS days_silent,
        figures.most_active_sender,
        figures.dominant_type,
        figures.peak
    FROM conversations
    LEFT JOIN figures ON figures.conversation_id = conversations.conversation_id
)

SELECT
    conversation_id,
    $as_of_date AS calculation_date,
    messages AS total_messages,
    messages_7 AS messages_last_7,
    messages_30 AS messages_last_30,
    senders_7 AS unique_participants_last_7,
    CAST(messages AS DOUBLE) / CAST(age_days AS DOUBLE) AS avg_messages_per_day,
    messages_or_null / nullif(CAST(participant_count AS DOUBLE), 0) AS avg_messages_per_participant,
    most_active_sender AS most_active_participant_id,
    CAST(23 - peak % 24 AS INT) AS peak_activity_hour,
    dominant_type AS dominant_message_type,
    CAST(media_messages AS DOUBLE) / messages_or_null AS media_share_rate,
    CAST(reactions AS DOUBLE) / messages_or_null AS reaction_rate,
    CASE
        WHEN days_silent IS NULL OR days_silent > 30 THEN 'dead'
        WHEN days_silent > 14 THEN 'dying'
        WHEN messages_7 < 3 THEN 'quiet'
        WHEN messages_7 >= 10 THEN 'thriving'
        ELSE 'active'
    END AS conversation_health
FROM conversation_figures
