-- silver.users: who uses the chat, with what the authentication database knows about them.
-- Grain: one row per user_id of bronze.users.
-- Invariants: no phone number, address, bio or picture; at most one authentication row per user. An
-- authentication row with an external_id belongs to that user and to no other, one without to every user
-- with its e-mail address. Several for one user: by external_id first, then the newest, then the smallest
-- auth_user_id.
WITH accounts AS (
    SELECT
        auth_user_id,
        external_id,
        CASE WHEN coalesce(external_id, '') = '' THEN lower(trim(email)) END AS email,
        email_verified,
        two_factor_enabled,
        last_login_at,
        login_count,
        coalesce(updated_at, created_at) AS known_at
    FROM bronze.auth_users
),

candidates AS (
    SELECT users.user_id, 1 AS preference, accounts.*
    FROM bronze.users AS users
    JOIN accounts ON accounts.external_id = users.user_id
    WHERE accounts.external_id <> ''
    UNION ALL
    SELECT users.user_id, 2 AS preference, accounts.*
    FROM bronze.users AS users
    JOIN accounts ON accounts.email = lower(trim(users.email))
    WHERE accounts.email <> ''
),

ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY user_id
            ORDER BY preference, known_at DESC NULLS LAST, auth_user_id
        ) AS place
    FROM candidates
),

account_of_user AS (
    SELECT user_id, email_verified, two_factor_enabled, last_login_at, login_count
    FROM ranked
    WHERE place = 1
)

SELECT
    users.user_id,
    users.username,
    users.display_name,
    coalesce(trim(users.avatar) <> '', false) AS has_avatar,
    coalesce(trim(users.bio) <> '', false) AS has_bio,
    users.last_seen_at,
    days_since(CAST(users.last_seen_at AS DATE), $as_of_date) AS last_seen_days_ago,
    users.role,
    users.is_banned,
    users.is_verified,
    account_of_user.email_verified,
    account_of_user.two_factor_enabled,
    account_of_user.last_login_at,
    account_of_user.login_count,
    days_since(CAST(users.created_at AS DATE), $as_of_date) AS account_age_days,
    users.created_at
FROM bronze.users AS users
LEFT JOIN account_of_user ON account_of_user.user_id = users.user_id
