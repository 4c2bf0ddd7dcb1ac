-- bronze.auth_sessions: one row per login of the authentication database.
-- Grain: a version of a row; the write keeps the newest version per session_id.
-- Invariants: no token, no hash of a token, no user agent.
SELECT
    session_id,
    auth_user_id,
    device_id,
    device_name,
    ip_address,
    is_revoked,
    revoked_at,
    revoked_reason,
    expires_at,
    created_at,
    updated_at,
    $as_of AS ingested_at,
    'mysql' AS source_system,
    $run_id AS run_id
FROM mysql.auth_sessions
