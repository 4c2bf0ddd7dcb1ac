-- gold.monthly_metrics: the chat month by month.
-- Grain: one row per calendar month from that of the first date of gold.daily_metrics to that of as_of_date; months
-- without any activity have a row too. No data at all: no rows.
-- Invariants: users who stay and churned users add up to the active users of the month before, and both are 0 in the
-- first month; figures of dates are summed exactly.
WITH no_facts AS (
    -- No row, but the names and types of what the parts below are about; each leaves out what it is not.
    SELECT
        CAST(NULL AS DATE) AS month_start,
        CAST(NULL AS BOOLEAN) AS is_in_calendar,
        CAST(NULL AS BIGINT) AS active_users,
        CAST(NULL AS BIGINT) AS returning_users,
        CAST(NULL AS BIGINT) AS new_users,
        CAST(NULL AS BIGINT) AS daily_active_users,
        CAST(NULL AS BIGINT) AS total_messages,
        CAST(NULL AS BIGINT) AS total_calls,
        CAST(NULL AS DOUBLE) AS call_minutes,
        nullif('', '') AS top_type,
        CAST(NULL AS BIGINT) AS messages_of_type,
        CAST(NULL AS BIGINT) AS peak
    WHERE false
),

user_months AS (
    SELECT user_id, first_of_month(activity_date) AS month_start
    FROM silver.user_activity
    WHERE activity_date <= $as_of_date AND is_active_day
    GROUP BY user_id, first_of_month(activity_date)
),

users_with_month_before AS (
    SELECT
        month_start,
        lag(month_start) OVER (PARTITION BY user_id ORDER BY month_start) AS month_before
    FROM user_months
),

active_months AS (
    SELECT
        month_start,
        count(*) AS active_users,
        count(*) FILTER (
            WHERE month_before = first_of_month(CAST(month_start - INTERVAL '1 days' AS DATE))
        ) AS returning_users
    FROM users_with_month_before
    GROUP BY month_start
),

daily_months AS (
    SELECT
        first_of_month(metric_date) AS month_start,
        new_users,
        active_users AS daily_active_users,
        total_messages,
        total_calls,
        total_call_duration_minutes AS call_minutes
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date
),

types_of_day AS (
    SELECT
        first_of_month(metric_date) AS month_start,
        unnest(map_keys(messages_by_type)) AS message_type,
        unnest(map_values(messages_by_type)) AS messages
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date AND total_messages > 0
),

types_of_month AS (
    SELECT month_start, message_type, sum(messages) AS messages
    FROM types_of_day
    GROUP BY month_start, message_type
),

ranked_types AS (
    SELECT
        month_start,
        message_type,
        messages,
        row_number() OVER (PARTITION BY month_start ORDER BY messages DESC, message_type) AS place
    FROM types_of_month
),

top_types AS (
    SELECT month_start, message_type AS top_type, messages AS messages_of_type
    FROM ranked_types
    WHERE place <= 5
),

weekdays AS (
    SELECT
        first_of_month(metric_date) AS month_start,
        CAST(date_part('isodow', metric_date) AS BIGINT) AS day_of_week,
        sum(total_messages) AS messages
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date AND total_messages > 0
    GROUP BY first_of_month(metric_date), date_part('isodow', metric_date)
),

peak_weekdays AS (
    -- One number that orders by messages first and then by the earlier day.
    SELECT month_start, max(messages * 7 + (7 - day_of_week)) AS peak
    FROM weekdays
    GROUP BY month_start
),

calendar_range AS (
    SELECT dates_between(min(metric_date), $as_of_date) AS dates
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date
),

calendar_dates AS (
    SELECT unnest(dates) AS metric_date
    FROM calendar_range
),

calendar AS (
    SELECT first_of_month(metric_date) AS month_start, true AS is_in_calendar
    FROM calendar_dates
    GROUP BY first_of_month(metric_date)
),

users AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM calendar
    UNION ALL BY NAME
    SELECT * FROM active_months
),

traffic AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM daily_months
    UNION ALL BY NAME
    SELECT * FROM top_types
    UNION ALL BY NAME
    SELECT * FROM peak_weekdays
),

facts AS (
    SELECT * FROM users
    UNION ALL BY NAME
    SELECT * FROM traffic
),

months AS (
    SELECT
        month_start,
        coalesce(sum(active_users), 0) AS active_users,
        coalesce(sum(returning_users), 0) AS returning_users,
        coalesce(sum(new_users), 0) AS new_users,
        coalesce(sum(daily_active_users), 0) AS daily_active_users,
        coalesce(sum(total_messages), 0) AS total_messages,
        coalesce(sum(total_calls), 0) AS total_calls,
        coalesce(exact_sum(call_minutes), 0.0) AS call_minutes,
        count_map(top_type, messages_of_type) AS top_message_types,
        max(peak) AS peak
    FROM facts
    GROUP BY month_start
    -- Reactions may be older than the first date; they make no row.
    HAVING bool_or(is_in_calendar)
),

months_in_order AS (
    SELECT
        *,
        lag(active_users) OVER (ORDER BY month_start) AS previous_users,
        first_of_month(CAST(month_start + INTERVAL '31 days' AS DATE)) AS next_month
    FROM months
),

months_with_days AS (
    SELECT
        *,
        CAST(least(days_since(month_start, next_month), days_since(month_start, $as_of_date) + 1) AS DOUBLE) AS days
    FROM months_in_order
)

SELECT
    month_start,
    active_users AS monthly_active_users,
    new_users,
    coalesce(previous_users - returning_users, 0) AS churned_users,
    CAST(returning_users AS DOUBLE) / nullif(CAST(previous_users AS DOUBLE), 0) AS retention_rate,
    CAST(daily_active_users AS DOUBLE) / days / nullif(CAST(active_users AS DOUBLE), 0) AS dau_mau_ratio,
    total_messages,
    CAST(total_messages AS DOUBLE) / days AS avg_daily_messages,
    total_calls,
    call_minutes / 60 AS total_call_duration_hours,
    CAST(total_messages AS DOUBLE) / nullif(CAST(active_users AS DOUBLE), 0) AS avg_messages_per_active_user,
    top_message_types,
    CAST(7 - peak % 7 AS INT) AS peak_day_of_week,
    next_month <= CAST($as_of AS DATE) AS is_complete
FROM months_with_days
