-- bronze.notifications: one row per notification document of MongoDB.
-- Grain: a version of a document; the write keeps the newest version per notification_id.
-- Invariants: created_month is the first day of the UTC month of created_at.
SELECT
    notification_id,
    user_id,
    type,
    title,
    is_read,
    created_at,
    read_at,
    updated_at,
    first_of_month(CAST(created_at AS DATE)) AS created_month,
    $as_of AS ingested_at,
    'mongodb' AS source_system,
    $run_id AS run_id
FROM mongodb.notifications
