-- gold.daily_metrics: the chat day by day.
-- Grain: one row per calendar date from that of the earliest user, conversation, message or call before
-- as_of to as_of_date; dates without any activity have a row too. No data at all: no rows.
-- Invariants: totals of users and conversations never fall; the counts of messages_by_type add up to
-- total_messages; durations are summed exactly. A filter on metric_date reaches the scans of all that happens
-- on a date; only the totals, which need all dates, are computed apart.
WITH no_facts AS (
    -- No row, but the names and types of what the parts below are about; each leaves out what it is not.
    SELECT
        CAST(NULL AS DATE) AS metric_date,
        CAST(NULL AS BOOLEAN) AS is_in_calendar,
        CAST(NULL AS BIGINT) AS new_users,
        CAST(NULL AS BIGINT) AS new_conversations,
        nullif('', '') AS message_type,
        CAST(NULL AS BIGINT) AS messages,
        CAST(NULL AS BIGINT) AS media_bytes,
        CAST(NULL AS BIGINT) AS peak,
        CAST(NULL AS BIGINT) AS active_conversations,
        CAST(NULL AS BIGINT) AS total_reactions,
        CAST(NULL AS BIGINT) AS total_calls,
        CAST(NULL AS BIGINT) AS audio_calls,
        CAST(NULL AS BIGINT) AS video_calls,
        CAST(NULL AS DOUBLE) AS call_seconds,
        CAST(NULL AS BIGINT) AS timed_calls,
        CAST(NULL AS BIGINT) AS active_users,
        CAST(NULL AS BIGINT) AS sessions
    WHERE false
),

message_days AS (
    SELECT
        created_date AS metric_date,
        message_type,
        count(*) AS messages,
        sum(attachment_bytes) AS media_bytes
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY created_date, message_type
),

message_hours AS (
    -- One number that orders by messages of the hour first and then by the earlier hour.
    SELECT created_date AS metric_date, count(*) * 24 + (23 - hour) AS peak
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY created_date, hour
),

conversations_of_day AS (
    SELECT created_date, conversation_id
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY created_date, conversation_id
),

active_conversation_days AS (
    SELECT created_date AS metric_date, count(*) AS active_conversations
    FROM conversations_of_day
    GROUP BY created_date
),

user_days AS (
    SELECT CAST(created_at AS DATE) AS metric_date, count(*) AS new_users
    FROM silver.users
    WHERE created_at < $as_of
    GROUP BY CAST(created_at AS DATE)
),

conversation_days AS (
    SELECT CAST(created_at AS DATE) AS metric_date, count(*) AS new_conversations
    FROM silver.conversations
    WHERE created_at < $as_of
    GROUP BY CAST(created_at AS DATE)
),

call_days AS (
    SELECT
        created_date AS metric_date,
        count(*) AS total_calls,
        count(*) FILTER (WHERE type = 'audio') AS audio_calls,
        count(*) FILTER (WHERE type = 'video') AS video_calls,
        exact_sum(CASE WHEN is_completed THEN duration_seconds END) AS call_seconds,
        count(CASE WHEN is_completed THEN duration_seconds END) AS timed_calls
    FROM silver.calls
    WHERE created_at < $as_of
    GROUP BY created_date
),

reaction_days AS (
    SELECT reacted_date AS metric_date, count(*) AS total_reactions
    FROM silver.reactions
    WHERE reacted_at < $as_of
    GROUP BY reacted_date
),

activity_days AS (
    SELECT
        activity_date AS metric_date,
        count(*) FILTER (WHERE is_active_day) AS active_users,
        sum(sessions) AS sessions
    FROM silver.user_activity
    WHERE activity_date <= $as_of_date
    GROUP BY activity_date
),

first_dates AS (
    SELECT min(CAST(created_at AS DATE)) AS first_date FROM silver.users WHERE created_at < $as_of
    UNION ALL
    SELECT min(CAST(created_at AS DATE)) AS first_date FROM silver.conversations WHERE created_at < $as_of
    UNION ALL
    SELECT min(created_date) AS first_date FROM silver.messages WHERE created_at < $as_of
    UNION ALL
    SELECT min(created_date) AS first_date FROM silver.calls WHERE created_at < $as_of
),

calendar_range AS (
    SELECT dates_between(min(first_date), $as_of_date) AS dates
    FROM first_dates
),

calendar AS (
    SELECT unnest(dates) AS metric_date, true AS is_in_calendar
    FROM calendar_range
),

creations AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM calendar
    UNION ALL BY NAME
    SELECT * FROM user_days
    UNION ALL BY NAME
    SELECT * FROM conversation_days
),

messages AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM message_days
    UNION ALL BY NAME
    SELECT * FROM message_hours
    UNION ALL BY NAME
    SELECT * FROM active_conversation_days
    UNION ALL BY NAME
    SELECT * FROM reaction_days
),

others AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM call_days
    UNION ALL BY NAME
    SELECT * FROM activity_days
),

facts AS (
    SELECT * FROM creations
    UNION ALL BY NAME
    SELECT * FROM messages
    UNION ALL BY NAME
    SELECT * FROM others
),

totals AS (
    SELECT
        metric_date,
        sum(coalesce(sum(new_users), 0)) OVER (ORDER BY metric_date) AS total_users,
        sum(coalesce(sum(new_conversations), 0)) OVER (ORDER BY metric_date) AS total_conversations
    FROM creations
    GROUP BY metric_date
),

days AS (
    SELECT
        metric_date,
        coalesce(sum(active_users), 0) AS active_users,
        coalesce(sum(new_users), 0) AS new_users,
        coalesce(sum(messages), 0) AS total_messages,
        coalesce(sum(messages) FILTER (WHERE message_type = 'text'), 0) AS text_messages,
        coalesce(sum(messages) FILTER (WHERE message_type IN ('image', 'video', 'audio', 'file')), 0) AS media_messages,
        count_map(message_type, messages) AS messages_by_type,
        coalesce(sum(total_calls), 0) AS total_calls,
        coalesce(sum(audio_calls), 0) AS audio_calls,
        coalesce(sum(video_calls), 0) AS video_calls,
        coalesce(exact_sum(call_seconds), 0.0) / 60 AS call_minutes,
        coalesce(sum(timed_calls), 0) AS timed_calls,
        coalesce(sum(active_conversations), 0) AS active_conversations,
        coalesce(sum(new_conversations), 0) AS new_conversations,
        coalesce(sum(total_reactions), 0) AS total_reactions,
        coalesce(sum(sessions), 0) AS sessions,
        max(peak) AS peak,
        coalesce(sum(media_bytes), 0) AS media_bytes
    FROM facts
    GROUP BY metric_date
    -- Reactions may be older than the first date; they make no row.
    HAVING bool_or(is_in_calendar)
)

SELECT
    days.metric_date,
    totals.total_users,
    days.active_users,
    days.new_users,
    days.total_messages,
    days.text_messages,
    days.media_messages,
    days.messages_by_type,
    days.total_calls,
    days.audio_calls,
    days.video_calls,
    days.call_minutes AS total_call_duration_minutes,
    days.call_minutes / nullif(CAST(days.timed_calls AS DOUBLE), 0) AS avg_call_duration_minutes,
    totals.total_conversations,
    days.active_conversations,
    days.new_conversations,
    days.total_reactions,
    CAST(days.total_messages AS DOUBLE) / nullif(CAST(days.active_users AS DOUBLE), 0) AS avg_messages_per_user,
    CAST(days.sessions AS DOUBLE) / nullif(CAST(days.active_users AS DOUBLE), 0) AS avg_sessions_per_user,
    CAST(23 - days.peak % 24 AS INT) AS peak_hour,
    days.media_bytes
FROM days
JOIN totals ON totals.metric_date = days.metric_date
