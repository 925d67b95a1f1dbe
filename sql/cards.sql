-- Card fraud by place: how much a card pays lately, and how fast it would have to travel between
-- two payments.
CREATE SOURCE payments (
    card_id    BIGINT NOT NULL,
    amount     DOUBLE,
    lat        DOUBLE,
    lon        DOUBLE,
    event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH (
    'connector' = 'kafka',
    'topic' = '${PAYMENTS_TOPIC:-payments}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE card_payments
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'What a card paid lately, and how far its last two payments are apart'
) AS
SELECT card_id,
       COUNT(*)    OVER w30m AS payments_30m,
       AVG(amount) OVER w1h  AS mean_amount_1h,
       MAX(amount) OVER w24h AS max_amount_24h,
       haversine(LAG(lat) OVER w24h, LAG(lon) OVER w24h, lat, lon) AS distance_km,
       haversine(LAG(lat) OVER w24h, LAG(lon) OVER w24h, lat, lon)
           / NULLIF(time_since_last() OVER w24h / 3600.0, 0.0)     AS speed_kmh
FROM payments
WINDOW w30m AS (PARTITION BY card_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY card_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY card_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);

CREATE FEATURE card_movement
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'How far and how fast a card travelled in a day'
) AS
SELECT card_id,
       speed_kmh,
       MAX(speed_kmh)   OVER w24h AS top_speed_24h,
       SUM(distance_km) OVER w24h AS travelled_24h,
       event_time
FROM (SELECT card_id,
             event_time,
             haversine(LAG(lat) OVER w, LAG(lon) OVER w, lat, lon) AS distance_km,
             haversine(LAG(lat) OVER w, LAG(lon) OVER w, lat, lon)
                 / NULLIF(time_since_last() OVER w / 3600.0, 0.0)  AS speed_kmh
      FROM payments
      WINDOW w AS (PARTITION BY card_id ORDER BY event_time)) AS moves
WINDOW w24h AS (PARTITION BY card_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);
