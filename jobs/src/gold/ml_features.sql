-- gold.ml_features: a row of numbers per user for models that predict who leaves.
-- Grain: one row per user of silver.users created before as_of, at feature_date = as_of_date; and again the
-- stored rows of those earlier dates whose seven days have passed since, now with their label.
-- Invariants: no event at or after as_of; "last N days" end with feature_date, that day included; the label
-- is unknown at its own feature date, for its seven days lie after it; once known it is never computed again.
WITH users AS (
    SELECT user_id
    FROM silver.users
    WHERE created_at < $as_of
),

days AS (
    SELECT
        *,
        activity_date = $as_of_date AS is_last_1,
        activity_date >= CAST($as_of_date AS DATE) - INTERVAL '6 days' AS is_last_7,
        activity_date < CAST($as_of_date AS DATE) - INTERVAL '6 days'
            AND activity_date >= CAST($as_of_date AS DATE) - INTERVAL '13 days' AS is_7_before,
        date_part('isodow', activity_date) <= 5 AS is_weekday
    FROM silver.user_activity
    WHERE activity_date <= $as_of_date AND activity_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days'
),

activity AS (
    SELECT
        user_id,
        sum(CASE WHEN is_last_1 THEN messages_sent ELSE 0 END) AS sent_1,
        sum(CASE WHEN is_last_7 THEN messages_sent ELSE 0 END) AS sent_7,
        sum(CASE WHEN is_7_before THEN messages_sent ELSE 0 END) AS sent_7_before,
        sum(messages_sent) AS sent_30,
        sum(CASE WHEN is_weekday THEN messages_sent ELSE 0 END) AS sent_on_weekdays,
        sum(CASE WHEN is_last_1 THEN messages_received ELSE 0 END) AS received_1,
        sum(CASE WHEN is_last_7 THEN messages_received ELSE 0 END) AS received_7,
        sum(messages_received) AS received_30,
        count(*) FILTER (WHERE is_last_7 AND is_active_day) AS active_days_7,
        count(*) FILTER (WHERE is_active_day) AS active_days_30
    FROM days
    GROUP BY user_id
),

sessions AS (
    SELECT
        user_id,
        CAST(sum(CAST(session_end AS BIGINT) - CAST(session_start AS BIGINT)) AS DOUBLE)
            / 60000000 / CAST(count(*) AS DOUBLE) AS avg_session_duration_minutes
    FROM silver.user_sessions
    WHERE session_start < $as_of AND session_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days'
    GROUP BY user_id
),

message_hours AS (
    SELECT sender_id AS user_id, hour, count(*) AS messages
    FROM silver.messages
    WHERE created_at < $as_of AND created_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days'
    GROUP BY sender_id, hour
),

preferred_hours AS (
    -- One number that orders by messages first and then by the earlier hour.
    SELECT user_id, max(messages * 24 + (23 - hour)) AS peak
    FROM message_hours
    GROUP BY user_id
),

conversations AS (
    SELECT conversation_id, type, participant_ids, participant_count
    FROM silver.conversations
    WHERE created_at < $as_of AND item_count(participant_ids) > 0
),

group_members AS (
    SELECT participant_count, unnest(participant_ids) AS user_id
    FROM conversations
    WHERE type = 'group'
),

groups_of_user AS (
    SELECT user_id, count(*) AS groups, sum(participant_count) AS members
    FROM group_members
    GROUP BY user_id
),

conversations_sent_to AS (
    SELECT conversation_id, sender_id
    FROM silver.messages
    WHERE created_at < $as_of
    GROUP BY conversation_id, sender_id
),

contacts AS (
    SELECT
        conversations_sent_to.sender_id AS user_id,
        distinct_others(conversations.participant_ids, conversations_sent_to.sender_id) AS contacts
    FROM conversations
    JOIN conversations_sent_to ON conversations_sent_to.conversation_id = conversations.conversation_id
    GROUP BY conversations_sent_to.sender_id
),

unlabelled AS (
    SELECT *
    FROM gold.ml_features
    WHERE will_churn_next_7d IS NULL AND feature_date <= CAST($as_of_date AS DATE) - INTERVAL '7 days'
),

active_days AS (
    SELECT user_id, activity_date
    FROM silver.user_activity
    WHERE is_active_day AND activity_date <= $as_of_date
),

labels AS (
    SELECT unlabelled.user_id, unlabelled.feature_date, count(active_days.activity_date) = 0 AS will_churn_next_7d
    FROM unlabelled
    LEFT JOIN active_days ON active_days.user_id = unlabelled.user_id
        AND active_days.activity_date > unlabelled.feature_date
        AND active_days.activity_date <= unlabelled.feature_date + INTERVAL '7 days'
    GROUP BY unlabelled.user_id, unlabelled.feature_date
)

SELECT
    users.user_id,
    $as_of_date AS feature_date,
    coalesce(activity.sent_1, 0) AS msg_sent_1d,
    coalesce(activity.sent_7, 0) AS msg_sent_7d,
    coalesce(activity.sent_30, 0) AS msg_sent_30d,
    coalesce(activity.received_1, 0) AS msg_recv_1d,
    coalesce(activity.received_7, 0) AS msg_recv_7d,
    coalesce(activity.received_30, 0) AS msg_recv_30d,
    coalesce(activity.active_days_7, 0) AS active_days_7,
    coalesce(activity.active_days_30, 0) AS active_days_30,
    sessions.avg_session_duration_minutes,
    coalesce(contacts.contacts, 0) AS unique_contacts,
    coalesce(groups_of_user.groups, 0) AS group_count,
    CAST(groups_of_user.members AS DOUBLE) / CAST(groups_of_user.groups AS DOUBLE) AS avg_group_size,
    CAST(23 - preferred_hours.peak % 24 AS INT) AS preferred_hour,
    CAST(activity.sent_on_weekdays AS DOUBLE) / nullif(CAST(activity.sent_30 AS DOUBLE), 0) AS weekday_activity_ratio,
    CAST(coalesce(activity.sent_7, 0) AS DOUBLE) / 7 AS message_velocity_7d,
    coalesce(activity.sent_7, 0) - coalesce(activity.sent_7_before, 0) AS engagement_trend,
    CAST(NULL AS BOOLEAN) AS will_churn_next_7d
FROM users
LEFT JOIN activity ON activity.user_id = users.user_id
LEFT JOIN sessions ON sessions.user_id = users.user_id
LEFT JOIN preferred_hours ON preferred_hours.user_id = users.user_id
LEFT JOIN groups_of_user ON groups_of_user.user_id = users.user_id
LEFT JOIN contacts ON contacts.user_id = users.user_id
UNION ALL
SELECT
    unlabelled.user_id,
    unlabelled.feature_date,
    unlabelled.msg_sent_1d,
    unlabelled.msg_sent_7d,
    unlabelled.msg_sent_30d,
    unlabelled.msg_recv_1d,
    unlabelled.msg_recv_7d,
    unlabelled.msg_recv_30d,
    unlabelled.active_days_7,
    unlabelled.active_days_30,
    unlabelled.avg_session_duration_minutes,
    unlabelled.unique_contacts,
    unlabelled.group_count,
    unlabelled.avg_group_size,
    unlabelled.preferred_hour,
    unlabelled.weekday_activity_ratio,
    unlabelled.message_velocity_7d,
    unlabelled.engagement_trend,
    labels.will_churn_next_7d
FROM unlabelled
JOIN labels ON labels.user_id = unlabelled.user_id AND labels.feature_date = unlabelled.feature_date
