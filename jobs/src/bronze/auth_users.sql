-- bronze.auth_users: one row per row of the authentication database's user table.
-- Grain: a version of a row; the write keeps the newest version per auth_user_id.
-- Invariants: columns that the source's shape of the table does not have are null.
SELECT
    auth_user_id,
    email,
    external_id,
    status,
    email_verified,
    two_factor_enabled,
    failed_login_attempts,
    locked_until,
    last_login_at,
    login_count,
    created_at,
    updated_at,
    $as_of AS ingested_at,
    'mysql' AS source_system,
    $run_id AS run_id
FROM mysql.auth_users
