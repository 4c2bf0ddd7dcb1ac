-- bronze.audit_logs: one row per event of an account.
-- Grain: a version of a row; the write keeps one per audit_id.
-- Invariants: no user agent and no free text; created_date is the UTC date of created_at.
SELECT
    audit_id,
    auth_user_id,
    email,
    event_type,
    status,
    ip_address,
    device_id,
    country,
    city,
    failure_reason,
    request_id,
    session_id,
    created_at,
    CAST(created_at AS DATE) AS created_date,
    $as_of AS ingested_at,
    'mysql' AS source_system,
    $run_id AS run_id
FROM mysql.audit_logs
