-- gold.weekly_metrics: the chat week by week.
-- Grain: one row per ISO week from that of the first date of gold.daily_metrics to that of as_of_date; weeks without
-- any activity have a row too. No data at all: no rows.
-- Invariants: returning and churned users add up to the active users of the week before, and are 0 in the first
-- week; figures of dates are summed exactly; scores are computed in integer tenths, which is exact.
WITH no_facts AS (
    -- No row, but the names and types of what the parts below are about; each leaves out what it is not.
    SELECT
        CAST(NULL AS DATE) AS week_start,
        CAST(NULL AS BOOLEAN) AS is_in_calendar,
        CAST(NULL AS BIGINT) AS active_users,
        CAST(NULL AS BIGINT) AS returning_users,
        CAST(NULL AS BIGINT) AS score_tenths,
        CAST(NULL AS BIGINT) AS new_users,
        CAST(NULL AS BIGINT) AS total_messages,
        CAST(NULL AS BIGINT) AS total_calls,
        CAST(NULL AS DOUBLE) AS call_minutes
    WHERE false
),

activity AS (
    -- The score of a week looks at the 30 days that end with its Sunday, or with as_of_date if that is earlier. So
    -- a date counts in its own week and in the following ones up to a last week, all without a gap.
    SELECT
        user_id,
        first_of_week(activity_date) AS own_week,
        CASE
            WHEN days_since(activity_date, $as_of_date) <= 29 THEN first_of_week($as_of_date)
            ELSE first_of_week(CAST(activity_date + INTERVAL '23 days' AS DATE))
        END AS last_week,
        messages_sent,
        reactions_given,
        calls_initiated + calls_received AS calls,
        is_active_day
    FROM silver.user_activity
    WHERE activity_date <= $as_of_date
),

activity_cells AS (
    SELECT
        user_id,
        own_week,
        last_week,
        sum(messages_sent) AS messages,
        sum(reactions_given) AS reactions,
        sum(calls) AS calls,
        count(*) FILTER (WHERE is_active_day) AS active_days
    FROM activity
    GROUP BY user_id, own_week, last_week
),

activity_in_reach AS (
    SELECT
        user_id,
        own_week,
        messages,
        reactions,
        calls,
        active_days,
        unnest(weeks_between(own_week, last_week)) AS week_start
    FROM activity_cells
),

user_weeks AS (
    SELECT
        user_id,
        week_start,
        least(300, 3 * sum(messages)) + least(200, 10 * sum(reactions)) + least(200, 20 * sum(calls))
            + 10 * sum(active_days) AS score_tenths
    FROM activity_in_reach
    GROUP BY user_id, week_start
    -- Only users who were active in the week itself.
    HAVING sum(CASE WHEN week_start = own_week THEN active_days ELSE 0 END) > 0
),

users_with_week_before AS (
    SELECT
        week_start,
        score_tenths,
        lag(week_start) OVER (PARTITION BY user_id ORDER BY week_start) AS week_before
    FROM user_weeks
),

active_weeks AS (
    SELECT
        week_start,
        count(*) AS active_users,
        count(*) FILTER (WHERE days_since(week_before, week_start) = 7) AS returning_users,
        sum(score_tenths) AS score_tenths
    FROM users_with_week_before
    GROUP BY week_start
),

daily_weeks AS (
    SELECT
        first_of_week(metric_date) AS week_start,
        new_users,
        total_messages,
        total_calls,
        total_call_duration_minutes AS call_minutes
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date
),

calendar_range AS (
    SELECT weeks_between(min(metric_date), $as_of_date) AS weeks
    FROM gold.daily_metrics
    WHERE metric_date <= $as_of_date
),

calendar AS (
    SELECT unnest(weeks) AS week_start, true AS is_in_calendar
    FROM calendar_range
),

facts AS (
    SELECT * FROM no_facts
    UNION ALL BY NAME
    SELECT * FROM calendar
    UNION ALL BY NAME
    SELECT * FROM active_weeks
    UNION ALL BY NAME
    SELECT * FROM daily_weeks
),

weeks AS (
    SELECT
        week_start,
        coalesce(sum(active_users), 0) AS active_users,
        coalesce(sum(returning_users), 0) AS returning_users,
        coalesce(sum(score_tenths), 0) AS score_tenths,
        coalesce(sum(new_users), 0) AS new_users,
        coalesce(sum(total_messages), 0) AS total_messages,
        coalesce(sum(total_calls), 0) AS total_calls,
        coalesce(exact_sum(call_minutes), 0.0) AS call_minutes
    FROM facts
    GROUP BY week_start
    -- Reactions may be older than the first date; they make no row.
    HAVING bool_or(is_in_calendar)
),

weeks_in_order AS (
    SELECT
        *,
        lag(active_users) OVER (ORDER BY week_start) AS previous_users,
        CAST(week_start + INTERVAL '3 days' AS DATE) AS thursday,
        CAST(least(7, days_since(week_start, $as_of_date) + 1) AS DOUBLE) AS days
    FROM weeks
)

SELECT
    week_start,
    -- An ISO week belongs to the year of its Thursday.
    CAST(date_part('year', thursday) AS INT) AS iso_year,
    CAST((date_part('doy', thursday) - 1) / 7 + 1 AS INT) AS iso_week,
    active_users AS weekly_active_users,
    new_users,
    CASE WHEN previous_users IS NULL THEN 0 ELSE returning_users END AS returning_users,
    coalesce(previous_users - returning_users, 0) AS churned_users,
    CAST(returning_users AS DOUBLE) / nullif(CAST(previous_users AS DOUBLE), 0) AS retention_rate,
    total_messages,
    CAST(total_messages AS DOUBLE) / days AS avg_daily_messages,
    total_calls,
    CAST(total_calls AS DOUBLE) / days AS avg_daily_calls,
    call_minutes / 60 AS total_call_duration_hours,
    CAST(score_tenths AS DOUBLE) / 10 / nullif(CAST(active_users AS DOUBLE), 0) AS engagement_score,
    week_start + INTERVAL '7 days' <= CAST($as_of AS DATE) AS is_complete
FROM weeks_in_order
