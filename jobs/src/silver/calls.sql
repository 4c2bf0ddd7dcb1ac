-- silver.calls: every call with who was in it.
-- Grain: one row per call_id of bronze.calls.
-- Invariants: participants are one entry per user, ascending, without the initiator, who started the call
-- and did not join it. joined_at is the earliest known; in an ended call of which no joined_at is known at
-- all, everybody joined at created_at.
SELECT
    call_id,
    conversation_id,
    initiator_id,
    call_participants(participants, initiator_id, coalesce(status = 'ended', false), created_at) AS participants,
    item_count(call_participants(participants, initiator_id, coalesce(status = 'ended', false), created_at)) + 1 AS participant_count,
    type,
    status,
    coalesce(status = 'ended', false) AS is_completed,
    coalesce(status = 'missed', false) AS is_missed,
    duration_seconds,
    duration_seconds / 60 AS duration_minutes,
    CASE
        WHEN duration_seconds IS NULL THEN 'unknown'
        WHEN duration_seconds < 60 THEN 'short'
        WHEN duration_seconds < 600 THEN 'medium'
        ELSE 'long'
    END AS duration_category,
    created_at,
    created_date,
    CAST(date_part('hour', created_at) AS INT) AS hour
FROM bronze.calls
