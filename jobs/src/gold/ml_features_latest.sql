-- gold.ml_features_latest: the features of the newest date.
-- Grain: one row per user of gold.ml_features at the greatest feature_date that it has, whichever run wrote it.
SELECT *
FROM gold.ml_features
WHERE feature_date = (SELECT max(feature_date) FROM gold.ml_features)
