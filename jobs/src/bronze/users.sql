-- bronze.users: one row per user document of MongoDB.
-- Grain: a version of a document; the write keeps the newest version per user_id.
-- Invariants: no password, key, token or one-time code; created_month is the first day of the UTC month
-- of created_at.
SELECT
    user_id,
    phone_number,
    email,
    username,
    display_name,
    avatar,
    bio,
    status,
    last_seen_at,
    is_online,
    role,
    is_banned,
    is_verified,
    linked_device_count,
    created_at,
    updated_at,
    first_of_month(CAST(created_at AS DATE)) AS created_month,
    $as_of AS ingested_at,
    'mongodb' AS source_system,
    $run_id AS run_id
FROM mongodb.users
