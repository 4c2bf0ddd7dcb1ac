-- bronze.media: one row per object under the media prefix.
-- Grain: one row per key of a listing; the write keeps the object that was last modified per key.
-- Invariants: keys have neither a leading slash nor the prefix.
SELECT
    key,
    size_bytes,
    etag,
    last_modified,
    content_type,
    $as_of AS ingested_at,
    's3' AS source_system,
    $run_id AS run_id
FROM s3.media
