-- silver.user_sessions: stretches of time in which a user was at it.
-- Grain: one row per maximal run of one user's events before as_of with gaps of at most 30 minutes.
-- Invariants: an event is a message sent, a reaction given, a call started, a call joined; each counts once;
-- a session belongs to the UTC date on which it starts. Orphan users have sessions too.
WITH call_participants AS (
    SELECT unnest(participants) AS participant
    FROM silver.calls
    WHERE created_at < $as_of AND item_count(participants) > 0
),

events AS (
    SELECT sender_id AS user_id, created_at AS event_at
    FROM silver.messages
    WHERE created_at < $as_of
    UNION ALL
    SELECT user_id, reacted_at AS event_at
    FROM silver.reactions
    WHERE reacted_at < $as_of
    UNION ALL
    SELECT initiator_id AS user_id, created_at AS event_at
    FROM silver.calls
    WHERE created_at < $as_of
    UNION ALL
    SELECT participant['user_id'] AS user_id, participant['joined_at'] AS event_at
    FROM call_participants
    WHERE participant['joined_at'] < $as_of
),

sessions_of_user AS (
    SELECT user_id, sessions(event_at) AS sessions
    FROM events
    GROUP BY user_id
),

sessions AS (
    SELECT user_id, unnest(sessions) AS session
    FROM sessions_of_user
)

SELECT
    user_id,
    session['session_start'] AS session_start,
    session['session_end'] AS session_end,
    CAST(CAST(session['session_end'] AS BIGINT) - CAST(session['session_start'] AS BIGINT) AS DOUBLE) / 60000000 AS duration_minutes,
    session['event_count'] AS event_count,
    CAST(session['session_start'] AS DATE) AS session_date
FROM sessions
