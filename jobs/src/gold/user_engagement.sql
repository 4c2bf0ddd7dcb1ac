-- gold.user_engagement: how much users take part, and whether they are about to leave.
-- Grain: one row per user of silver.users created before as_of, at calculation_date = as_of_date.
-- Invariants: "last N days" end with as_of_date, that day included; thresholds are compared in integers;
-- the score is computed in integer tenths, which is exact. A reply is a message that directly follows
-- another sender's message in its conversation, in the order (created_at, message_id), within 24 hours.
WITH users AS (
    SELECT user_id
    FROM silver.users
    WHERE created_at < $as_of
),

days AS (
    SELECT
        *,
        activity_date >= CAST($as_of_date AS DATE) - INTERVAL '6 days' AS is_last_7,
        activity_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days' AS is_last_30,
        calls_initiated + calls_received AS calls
    FROM silver.user_activity
    WHERE activity_date <= $as_of_date
),

activity AS (
    SELECT
        user_id,
        sum(messages_sent) AS messages_sent,
        sum(messages_received) AS messages_received,
        sum(reactions_given) AS reactions_given,
        sum(reactions_received) AS reactions_received,
        sum(calls) AS calls,
        exact_sum(total_call_duration_minutes) AS call_minutes,
        count(*) FILTER (WHERE is_last_7 AND is_active_day) AS active_days_7,
        count(*) FILTER (WHERE is_last_30 AND is_active_day) AS active_days_30,
        max(activity_date) FILTER (WHERE is_active_day) AS last_active_date,
        sum(CASE WHEN is_last_7 THEN messages_sent ELSE 0 END) AS messages_7,
        sum(CASE WHEN is_last_30 THEN messages_sent ELSE 0 END) AS messages_30,
        sum(CASE WHEN is_last_30 THEN reactions_given ELSE 0 END) AS reactions_30,
        sum(CASE WHEN is_last_30 THEN calls ELSE 0 END) AS calls_30
    FROM days
    GROUP BY user_id
),

-- One day more than the replies that count: the message before a reply may be a day older, and one that
-- is older still makes no reply.
recent_messages AS (
    SELECT
        sender_id,
        created_date,
        created_at,
        lag(sender_id) OVER (PARTITION BY conversation_id ORDER BY created_at, message_id) AS previous_sender_id,
        lag(created_at) OVER (PARTITION BY conversation_id ORDER BY created_at, message_id) AS previous_at
    FROM silver.messages
    WHERE created_at < $as_of AND created_date >= CAST($as_of_date AS DATE) - INTERVAL '30 days'
),

replies AS (
    SELECT sender_id AS user_id, CAST(created_at AS BIGINT) - CAST(previous_at AS BIGINT) AS response_micros
    FROM recent_messages
    WHERE previous_sender_id <> sender_id AND created_date >= CAST($as_of_date AS DATE) - INTERVAL '29 days'
),

response_times AS (
    SELECT
        user_id,
        CAST(sum(response_micros) AS DOUBLE) / 60000000 / CAST(count(*) AS DOUBLE) AS avg_response_time_minutes
    FROM replies
    WHERE response_micros <= 86400000000
    GROUP BY user_id
),

conversations AS (
    SELECT conversation_id, type, participant_ids
    FROM silver.conversations
    WHERE created_at < $as_of AND item_count(participant_ids) > 0
),

memberships AS (
    SELECT type, unnest(participant_ids) AS user_id
    FROM conversations
),

memberships_of_user AS (
    SELECT
        user_id,
        count(*) AS conversations,
        count(*) FILTER (WHERE type = 'group') AS groups
    FROM memberships
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

figures AS (
    SELECT
        users.user_id,
        coalesce(activity.messages_sent, 0) AS messages_sent,
        coalesce(activity.messages_received, 0) AS messages_received,
        coalesce(activity.reactions_given, 0) AS reactions_given,
        coalesce(activity.reactions_received, 0) AS reactions_received,
        coalesce(activity.calls, 0) AS calls,
        coalesce(activity.call_minutes, 0.0) AS call_minutes,
        coalesce(activity.active_days_7, 0) AS active_days_7,
        coalesce(activity.active_days_30, 0) AS active_days_30,
        days_since(activity.last_active_date, $as_of_date) AS days_inactive,
        coalesce(activity.messages_7, 0) AS messages_7,
        coalesce(activity.messages_30, 0) AS messages_30,
        coalesce(activity.messages_30, 0) - coalesce(activity.messages_7, 0) AS messages_23_before,
        coalesce(activity.reactions_30, 0) AS reactions_30,
        coalesce(activity.calls_30, 0) AS calls_30,
        response_times.avg_response_time_minutes,
        coalesce(contacts.contacts, 0) AS contacts,
        coalesce(memberships_of_user.conversations, 0) AS conversations,
        coalesce(memberships_of_user.groups, 0) AS groups
    FROM users
    LEFT JOIN activity ON activity.user_id = users.user_id
    LEFT JOIN response_times ON response_times.user_id = users.user_id
    LEFT JOIN contacts ON contacts.user_id = users.user_id
    LEFT JOIN memberships_of_user ON memberships_of_user.user_id = users.user_id
)

SELECT
    user_id,
    $as_of_date AS calculation_date,
    messages_sent AS total_messages_sent,
    messages_received AS total_messages_received,
    reactions_given AS total_reactions_given,
    reactions_received AS total_reactions_received,
    calls AS total_calls,
    call_minutes AS total_call_duration_minutes,
    active_days_7 AS active_days_last_7,
    active_days_30 AS active_days_last_30,
    CAST(messages_30 AS DOUBLE) / 30 AS avg_daily_messages,
    avg_response_time_minutes,
    contacts AS unique_contacts_messaged,
    conversations AS conversations_participating,
    groups AS groups_participating,
    -- In tenths of a point: 100 messages give 30 points, 20 reactions 20, 10 calls 20, 30 active days 30.
    CAST(
        least(300, 3 * messages_30) + least(200, 10 * reactions_30) + least(200, 20 * calls_30) + 10 * active_days_30
        AS DOUBLE
    ) / 10 AS engagement_score,
    -- (messages_7 / 7) / (messages_23_before / 23) against 1.2 and 0.8, without division.
    CASE
        WHEN 115 * messages_7 > 42 * messages_23_before THEN 'increasing'
        WHEN 115 * messages_7 < 28 * messages_23_before THEN 'decreasing'
        ELSE 'stable'
    END AS activity_trend,
    CASE
        WHEN days_inactive IS NULL OR days_inactive > 14 THEN 'high'
        WHEN days_inactive > 7 OR 8 * active_days_7 < active_days_30 THEN 'medium'
        ELSE 'low'
    END AS churn_risk,
    CASE
        WHEN active_days_30 >= 25 AND messages_30 >= 100 THEN 'power_user'
        WHEN active_days_30 >= 15 AND messages_30 >= 30 THEN 'regular'
        WHEN active_days_30 >= 5 THEN 'casual'
        WHEN active_days_30 >= 1 THEN 'at_risk'
        ELSE 'churned'
    END AS user_segment
FROM figures
